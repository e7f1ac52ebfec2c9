"""What an evaluation shows in TensorBoard."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from detectors import metrics
from experiments.evaluation.tensorboard import roc_curves, write_charts, write_scores
from experiments.results.grids import GridCell, grid
from experiments.results.result import Result
from experiments.study.contenders import Contender
from tests.experiments.stand_ins import stand_in

CHART = grid("title", ["a"], [("row", [GridCell(torch.rand(1, 4, 4))])])


@pytest.fixture
def shown(tmp_path):
    folder = write_scores(stand_in(tmp_path))
    return folder, EventAccumulator(str(folder)).Reload()


def result(**figures):
    return Result("gallery", "title", "question", "finding", {}, [], figures=figures)


def test_curves_and_histograms_are_shown(shown, tmp_path):
    folder, events = shown
    assert folder == tmp_path / "report" / "tensorboard" / "scores"
    assert set(events.Tags()["images"]) == {"roc/fgsm", "roc/none"}
    of = ("clean", "fgsm", "none")
    names = ("bright_on_fgsm_seed_0", "max_softmax")
    assert set(events.Tags()["histograms"]) == {f"scores_{name}/{images}" for name in names for images in of}
    (histogram,) = events.Histograms("scores_max_softmax/clean")
    assert histogram.histogram_value.num == len(stand_in(tmp_path).images.clean)


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


def test_a_repeated_evaluation_replaces_the_events(shown, tmp_path):
    folder, _ = shown
    before = {path.name for path in folder.iterdir()}
    write_scores(stand_in(tmp_path))
    (path,) = folder.iterdir()
    assert path.name not in before
    assert [path.name for path in (tmp_path / "report").iterdir()] == ["tensorboard"]


def test_an_interrupted_evaluation_leaves_the_events_alone(shown, tmp_path, monkeypatch):
    folder, _ = shown
    before = [path.name for path in folder.iterdir()]

    def full(*_, **__):
        raise OSError

    monkeypatch.setattr(SummaryWriter, "add_image", full)
    with pytest.raises(OSError):  # noqa: PT011 - it has no words
        write_scores(stand_in(tmp_path))
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
