"""What an evaluation shows in TensorBoard."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import parse_session_start_info_plugin_data
from tensorboard.util import tensor_util
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from detectors import metrics
from experiments.evaluation.tensorboard import roc_curves, write_charts, write_scores, write_summary
from experiments.results.grids import GridCell, grid
from experiments.results.result import Result
from experiments.study.contenders import Contender
from tests.experiments.stand_ins import stand_in

CHART = grid("title", ["a"], [("row", [GridCell(torch.rand(1, 4, 4))])])


TRAINED, FREE = ("bright", "fgsm", 0), ("max_softmax", None, None)


def rows():
    """Return records of both detectors on both attacks; one rate is not known."""
    keys = ("detector", "trained_on", "seed", "tested_on", "subset", "auroc", "tpr_at_5_fpr", "success_at_5_fpr")
    values = {("fgsm", "all"): (0.9, 0.6, 0.1), ("none", "all"): (0.5, None, 0.0), ("fgsm", "failed"): (0.1, 0.1, None)}
    return [
        dict(zip(keys, (*detector, *key, *value), strict=True))
        for detector in (TRAINED, FREE)
        for key, value in values.items()
    ]


def read(folder):
    return EventAccumulator(str(folder)).Reload()


@pytest.fixture
def shown(tmp_path):
    folder = write_scores(stand_in(tmp_path), rows())
    return folder, read(folder)


def result(**figures):
    return Result("gallery", "title", "question", "finding", {}, [], figures=figures)


@pytest.mark.slow
def test_each_detector_is_a_run_with_its_histograms_and_curves(shown, tmp_path):
    folder, events = shown
    assert folder == tmp_path / "report" / "tensorboard" / "scores"
    assert set(events.Tags()["images"]) == {"roc/fgsm", "roc/none"}
    for place, name in (("bright/fgsm/seed_0", "bright"), ("max_softmax", "max_softmax")):
        tags = read(folder / place).Tags()
        assert set(tags["histograms"]) == {f"scores of {name}/{images}" for images in ("clean", "fgsm", "none")}
        assert {"pr/fgsm", "pr/none"} <= set(tags["tensors"])
    (histogram,) = read(folder / "max_softmax").Histograms("scores of max_softmax/clean")
    assert histogram.histogram_value.num == len(stand_in(tmp_path).images.clean)


def test_the_table_of_detectors_has_each_attack_and_the_mean_of_what_is_known_everywhere(shown):
    events = read(shown[0] / "bright/fgsm/seed_0")
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    start = parse_session_start_info_plugin_data(content)
    hparams = {name: value.string_value for name, value in start.hparams.items()}
    assert hparams == {"detector": "bright", "trained_on": "fgsm", "seed": "0"}
    values = {tag: events.Scalars(tag)[0].value for tag in events.Tags()["scalars"]}
    assert values == pytest.approx(
        {
            "on fgsm/AUROC": 0.9,
            "on none/AUROC": 0.5,
            "mean/AUROC": 0.7,
            "on fgsm/TPR at 5 % FPR": 0.6,
            "on fgsm/SR@5": 0.1,
            "on none/SR@5": 0.0,
            "mean/SR@5": 0.05,
        }
    )


def test_pr_curves_have_the_precision_of_each_threshold(shown, tmp_path):
    study = stand_in(tmp_path)
    curve = tensor_util.make_ndarray(read(shown[0] / "max_softmax").Tensors("pr/fgsm")[0].tensor_proto)
    true, false, precision = curve[0], curve[1], curve[4]
    assert (true[0], false[0], precision[0]) == (len(study.images.clean), len(study.images.clean), 0.5)
    assert precision == pytest.approx(true / np.maximum(true + false, 1e-9))


def test_the_summary_and_the_config_are_text(tmp_path):
    write_summary(tmp_path, {"What to distrust": ["Much.", "More."]}, "run: here\nseeds: [0]\n")
    events = read(tmp_path / "tensorboard" / "summary")
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in events.Tags()["tensors"]}
    assert texts["report/summary/text_summary"] == "## What to distrust\n\n- Much.\n- More.\n"
    assert texts["report/config/text_summary"] == "```\nrun: here\nseeds: [0]\n```"


@pytest.mark.slow
def test_figures_of_a_protocol_are_shown_beside_the_scores(shown, tmp_path):
    folder = write_charts(tmp_path / "report", result(**{"": CHART, "fgsm": CHART}))
    assert folder == tmp_path / "report" / "tensorboard" / "gallery"
    events = EventAccumulator(str(folder)).Reload()
    assert set(events.Tags()["images"]) == {"gallery/overview", "gallery/fgsm"}
    (chart,) = events.Images("gallery/fgsm")
    pixels = [np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for png in (chart.encoded_image_string, CHART)]
    assert np.array_equal(*pixels)
    assert any(shown[0].iterdir())


def test_a_protocol_without_figures_shows_none(tmp_path):
    assert write_charts(tmp_path, result()) is None
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_a_repeated_evaluation_replaces_the_events(shown, tmp_path):
    folder, _ = shown
    before = {path.name for path in folder.rglob("events*")}
    write_scores(stand_in(tmp_path), rows())
    after = {path.name for path in folder.rglob("events*")}
    assert len(after) == len(before) == 3
    assert not after & before
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["tensorboard"]


@pytest.mark.slow
def test_an_interrupted_evaluation_leaves_the_events_alone(shown, tmp_path, monkeypatch):
    folder, _ = shown
    before = [path.name for path in folder.iterdir()]

    def full(*_, **__):
        raise OSError

    monkeypatch.setattr(SummaryWriter, "add_image", full)
    with pytest.raises(OSError):  # noqa: PT011 - it has no words
        write_scores(stand_in(tmp_path), rows())
    assert [path.name for path in folder.iterdir()] == before
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["tensorboard"]


def test_the_area_under_the_curve_is_the_auroc():
    clean, adversarial = torch.randint(0, 9, (40,)).float(), torch.randint(2, 12, (30,)).float()
    false, true = metrics.roc(clean, adversarial)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert torch.trapezoid(true, false).item() == pytest.approx(metrics.auroc(clean, adversarial), abs=1e-6)


def test_a_curve_that_is_not_known_is_left_out():
    known, unknown = (Contender(name, None, None, nn.Identity(), torch.empty(0)) for name in ("one", "other"))
    curve = metrics.roc(torch.zeros(2), torch.ones(2))
    shown = roc_curves("ROC", [known, unknown], {"one": curve, "other": None})
    assert shown == roc_curves("ROC", [known], {"one": curve})
