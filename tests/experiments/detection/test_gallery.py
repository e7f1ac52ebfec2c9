"""evaluate.py gallery: which images it shows, what it says about them, and its pictures."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from rich.progress import Progress

from experiments.detection.gallery.protocol import gallery
from experiments.detection.gallery.records import look
from experiments.results.grids import GridCell, chosen, grid
from experiments.results.result import write_result
from experiments.results.two_samples import Comparison
from experiments.study.maps import relative, strongest
from experiments.study.study import Study
from experiments.training.run_folder import Run
from tests.experiments.stand_ins import stand_in


def test_images_of_different_classes_that_are_right_and_can_be_fooled_come_first():
    labels = torch.tensor([0, 0, 1, 1, 2, 3])
    before = torch.tensor([0, 0, 0, 1, 2, 3])
    fooled = torch.tensor([False, True, False, True, True, False])
    assert chosen(labels, before, fooled, 3).tolist() == [1, 3, 4]
    assert chosen(labels, before, fooled, 99).tolist() == [1, 3, 4, 0, 5, 2]


def test_classes_come_again_when_they_run_out():
    labels = torch.tensor([0, 0, 0, 1, 1, 0])
    assert chosen(labels, labels, torch.ones(6, dtype=torch.bool), 4).tolist() == [0, 3, 1, 4]


@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 12, 16)])
def test_a_row_for_each_version_of_each_image(shape, tmp_path):
    study = stand_in(tmp_path, shape)
    found = gallery(study, images=3, resamples=50)
    assert len(found.rows) == 3 * 2 * 2
    assert all(list(row) == list(found.rows[0]) for row in found.rows)
    under = study.under("fgsm")
    for row in found.rows:
        clean, number = row["version"] == "clean", row["image"]
        images = (study.images.clean if clean else study.under(row["attack"]).adversarial)[:]
        probabilities = study.classifier(images[number : number + 1]).softmax(1)[0]
        assert row["prediction"] == int(probabilities.argmax())
        assert row["confidence"] == pytest.approx(probabilities.max().item())
        contender = study.trained[0]
        margin = images[number].mean().item() - contender.calibration[95].item()
        assert row["bright_on_fgsm_margin"] == pytest.approx(margin, abs=1e-6)
        assert (row["jacobian_shift"] is None) == clean
        assert bool(under.subsets["successful"][number])
    assert list(found.figures) == ["", "fgsm", "none"]
    assert all(picture.startswith(b"\x89PNG") for picture in found.figures.values())


@pytest.mark.slow
def test_the_jacobian_of_a_linear_classifier_looks_the_same(tmp_path):
    study = stand_in(tmp_path)
    found = gallery(study, images=2, resamples=50)
    alike = [each for each in found.meta["likeness"] if each["map"] == "jacobian" and each["n"]]
    assert {each["look"] for each in alike if each["n"] >= 20} == {"the same"}
    assert {each["look"] for each in alike if each["n"] < 20} <= {"not decided (fewer than 20 pairs)"}
    assert [each["ssim"] for each in alike] == pytest.approx([1.0] * len(alike))
    assert "Jacobian maps of clean and adversarial images look the same under fgsm" in found.finding
    (empty,) = [e for e in found.meta["likeness"] if (e["map"], e["attack"], e["n"]) == ("learnt", "none", 0)]
    assert (empty["subset"], empty["ssim"], empty["look"]) == ("successful", None, None)
    assert found.flags[0].raised


def test_how_alike_maps_look_is_decided_by_rules():
    larger = Comparison(20, 20, 1.0, 0.5, 0.7, 0.6, 0.8)
    assert look(0.95, larger) == "the same"
    assert look(0.5, larger).startswith("more alike")
    assert look(0.5, Comparison(20, 20, 1.0, 0.5, 0.5, 0.3, 0.7)).startswith("not surely more alike or less alike")
    assert look(1.0, Comparison(19, 19, 1.0, 0.5, 1.0, 1.0, 1.0)) == "not decided (fewer than 20 pairs)"
    assert look(None, Comparison(0, 9)) is None


def test_without_a_learnt_model_or_detectors_it_shows_the_rest(tmp_path):
    study = stand_in(tmp_path, learnt=False)
    study.__dict__["trained"] = []
    found = gallery(study, images=1, resamples=50)
    assert not [name for name in found.rows[0] if name.startswith("learnt") or name.endswith("margin")]
    assert {each["map"] for each in found.meta["likeness"]} == {"jacobian"}


@pytest.mark.slow
def test_class_names_stand_for_numbers_and_the_same_comes_out_again(tmp_path):
    first, second, named = (stand_in(tmp_path) for _ in range(3))
    named.data.class_names = ("ant", "bee", "cat", "dog")
    found, told, again = (gallery(study, images=1, resamples=50) for study in (first, named, second))
    assert found == again
    assert told.figures["fgsm"] != found.figures["fgsm"]
    assert told.rows == found.rows


def test_no_images_are_refused(tmp_path):
    with pytest.raises(ValueError, match="images must be at least 1"):
        gallery(stand_in(tmp_path), images=0)


@pytest.mark.slow
def test_pairs_limits_what_is_compared(tmp_path):
    found = gallery(stand_in(tmp_path), images=1, pairs=4, resamples=50)
    assert {each["n"] for each in found.meta["likeness"] if each["subset"] == "all"} == {4}


def test_maps_are_shown_relative_to_their_maximum():
    maps = torch.tensor([[[[-4.0, 1.0]], [[2.0, 0.0]]], [[[0.0, 0.0]], [[0.0, 0.0]]]])
    assert relative(strongest(maps)).tolist() == [[[[1.0, 0.25]]], [[[0.0, 0.0]]]]


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 4, 8), (3, 8, 4)])
def test_a_grid_shows_the_values_given(shape):
    panels = [GridCell(torch.full(shape, value), "caption") for value in (0.0, 1.0)]
    seen = np.asarray(Image.open(io.BytesIO(grid("title", ["a", "b"], [("row", panels)]))).convert("L"))
    middle = seen[seen.shape[0] // 2 - 20]
    assert {0, 255} <= set(middle.tolist())
    assert (middle == 0).sum() > 50


def test_on_a_finished_run(finished):
    study = Study(Run(finished), torch.device("cpu"), Progress(disable=True), ["evaluate.py"])
    found = gallery(study, images=2, resamples=50)
    folder = finished.parent / "gallery"
    write_result(found, folder)
    assert {path.name for path in folder.iterdir()} >= {"gallery.png", "gallery_fgsm.png", "gallery_none.png"}
    assert {"id_on_fgsm_margin", "spd_on_fgsm_margin", "learnt_shift"} <= set(found.rows[0])
