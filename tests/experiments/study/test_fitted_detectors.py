"""Detectors of a pipeline file that are fitted to clean images."""

import importlib
import json
import re

import pytest
import torch
from rich.progress import Progress
from torch import nn

import evaluate
from detectors import load
from detectors.published import KernelDensity
from experiments.study.study import Study
from experiments.study.user_modules import name_of
from experiments.training.run_folder import Run
from tests.experiments.studies import copy_of, study_of
from tests.experiments.study.test_training_free import changed

FREE = {
    "mahalanobis": {"class_path": "detectors.published.Mahalanobis"},
    "density": {"class_path": "detectors.published.KernelDensity", "init_args": {"points": 50}},
}

OWN = '''
import torch
from torch import nn


class Bright(nn.Module):
    """Far from the mean brightness of clean images."""

    mean = None

    def fit(self, clean):
        self.mean = torch.cat([images.mean((1, 2, 3)) for images, *_ in clean]).mean()

    def forward(self, images):
        return (images.mean((1, 2, 3)) - self.mean).abs()


class Failing(Bright):
    def fit(self, clean):
        raise KeyError("no")
'''


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    (tmp_path / "my_fits.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("my_fits")


@pytest.mark.slow
def test_a_fitted_detector_is_a_row_of_transfer_and_is_kept(finished, tmp_path, capsys):
    run = changed(finished, tmp_path, training_free=FREE)
    assert evaluate.main(["transfer", "--run", str(run), "--resamples", "20"]) == 0
    assert "mahalanobis" in capsys.readouterr().out
    files = {path.stem.rpartition("-")[0]: path for path in (run / "report" / "fitted").iterdir()}
    assert set(files) == set(FREE)
    before = {path: path.stat().st_mtime_ns for path in files.values()}
    contenders = {each.name: each for each in study_of(run).training_free}
    assert {path: path.stat().st_mtime_ns for path in files.values()} == before
    kept = load(files["density"], KernelDensity)
    images = study_of(run).data.split("test").__getitems__([0, 1, 2]).images
    torch.testing.assert_close(kept(images), contenders["density"].module(images), rtol=0, atol=0)


def test_it_is_fitted_to_the_images_that_detectors_are_trained_on(finished, tmp_path):
    study = study_of(changed(finished, tmp_path, training_free=FREE))
    (density,) = (each.module for each in study.training_free if each.name == "density")
    assert density.counts.sum() == len(study.data.split("detector_train"))


@pytest.mark.slow
def test_another_option_is_another_fit(finished, tmp_path):
    run = changed(finished, tmp_path, training_free=FREE)
    few = changed(
        finished, tmp_path / "few", training_free={"density": {**FREE["density"], "init_args": {"points": 3}}}
    )
    counts = [
        next(each.module.counts for each in study_of(path).training_free if each.name == "density")
        for path in (run, few)
    ]
    assert counts[1].tolist() == [3] * len(counts[1])
    assert counts[0].sum() > counts[1].sum()


@pytest.mark.usefixtures("own_module")
def test_ones_own_module_is_fitted(finished, tmp_path):
    free = {"bright": {"class_path": "my_fits.Bright"}}
    study = study_of(changed(finished, tmp_path, training_free=free))
    (bright,) = study.training_free
    images = torch.cat([images for images, *_ in study.data.loader("detector_train")])
    assert bright.module.mean == pytest.approx(images.mean().item(), rel=1e-4)
    assert bright.calibration.isfinite().all()


@pytest.mark.parametrize(
    ("free", "message"),
    [
        (
            {"class_path": "my_fits.Failing"},
            "own cannot be fitted to the clean images (KeyError: 'no'): mend its method",
        ),
        (
            {"class_path": "detectors.published.KernelDensity", "init_args": {"layers": ["conv9"]}},
            "detectors.published.KernelDensity cannot be built (InputError: unknown layer 'conv9'",
        ),
    ],
)
@pytest.mark.usefixtures("own_module")
def test_what_cannot_be_fitted_is_refused(free, message, finished, tmp_path):
    with pytest.raises(ValueError, match=re.escape(message)):
        list(study_of(changed(finished, tmp_path, training_free={"own": free})).training_free)


class Decides(nn.Module):
    """A detector of somebody else: numpy inside, decisions instead of scores."""

    def __init__(self, classifier):
        super().__init__()
        self.classifier = classifier

    def forward(self, images):
        return self.classifier(images).detach().numpy().max(1) < images.numpy().mean((1, 2, 3))


@pytest.mark.slow
def test_a_detector_that_decides_without_a_gradient_gets_every_table(finished, tmp_path, capsys):
    run = copy_of(finished, tmp_path)
    for protocol, options in {"transfer": ["--resamples", "20"], "speed": ["--repeats", "2"]}.items():
        command = [protocol, "--run", str(run), "--detectors", f"[{__name__}.Decides]", "--device", "cpu", *options]
        assert evaluate.main(command) == 0, capsys.readouterr().err
        assert "Decides takes no images that ask for a gradient (numpy inside?)" in capsys.readouterr().out.replace(
            "\n", " "
        )
    rows = {row["detector"]: row for row in json.loads((run / "report" / "speed.json").read_text())["rows"]}
    assert rows["decides"]["parameters"] == rows["classifier alone"]["parameters"]
    assert rows["decides"]["classifier_passes"] == 1


@pytest.mark.slow
def test_detectors_of_the_run_by_class_path_and_checkpoint_stand_in_one_table(finished, tmp_path, capsys):
    run = copy_of(finished, tmp_path)
    checkpoint = next((run / "detectors").rglob("model.ckpt"))
    names = ["spd", "max_softmax", "detectors.published.Mahalanobis", str(checkpoint)]
    for protocol in ("transfer", "speed", "corruptions", "threshold"):
        options = {"speed": ["--repeats", "2"], "corruptions": ["--names", "[jpeg]"]}.get(
            protocol, ["--resamples", "20"]
        )
        command = [protocol, "--run", str(run), "--detectors", f"[{', '.join(names)}]", *options]
        assert evaluate.main(command) == 0, capsys.readouterr().err
        rows = json.loads((run / "report" / f"{protocol}.json").read_text())["rows"]
        assert {"spd", "max_softmax", "mahalanobis", name_of(str(checkpoint))} <= {row["detector"] for row in rows}
        assert not {"mask_area", "disagreement"} & {row["detector"] for row in rows}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "must name different ones, at least one"),
        (["spd", "spd"], "must name different ones, at least one"),
        (["spdd"], "unknown detector 'spdd'. Did you mean 'spd'?"),
        (["nowhere.Nothing"], "class path 'nowhere.Nothing' cannot be imported"),
        (["detectors.published.FittedDetector"], "needs layers as well"),
    ],
)
def test_detectors_that_do_not_exist_are_refused(names, message, finished):
    with pytest.raises(ValueError, match=re.escape(message)):
        list(Study(Run(finished), torch.device("cpu"), Progress(disable=True), [], names).contenders)


WEIGHTED = "detectors.published.WeightedMahalanobis"


@pytest.mark.slow
def test_one_that_takes_pairs_is_fitted_to_them_from_the_pipeline_file_and_by_class_path(finished, tmp_path):
    run = changed(finished, tmp_path, training_free={"weighted": {"class_path": WEIGHTED}})
    (of_file,) = study_of(run).training_free
    (named,) = study_of(run, [WEIGHTED]).own
    assert of_file.fit_seconds > 0
    assert of_file.module.weights.shape == (len(of_file.module.layers),)
    torch.testing.assert_close(named.module.detector.weights, of_file.module.weights, rtol=0, atol=0)
    assert study_of(run).training_free[0].fit_seconds == of_file.fit_seconds  # kept with the fit


@pytest.mark.parametrize("store", [True, False])
def test_a_class_of_trained_detectors_is_trained_on_the_runs_pairs(store, finished, tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.study.fitted_detectors.EPOCHS", 1)
    study = study_of(copy_of(finished, tmp_path), ["detectors.published.ExtraClass"])
    if not store:
        monkeypatch.setattr(study.run, "store", lambda: None)
    with study.progress.console.capture() as told:
        (trained,) = study.own
    assert trained.fit_seconds > 0
    assert "was trained here" in trained.remark
    assert re.search(r"^extraclass: fitted in [\d.]+ (s|min)$", told.get(), re.MULTILINE)
    torch.manual_seed(0)  # as it was built
    untrained = type(trained.module)(study.classifier)
    learnt = zip(trained.module.network.parameters(), untrained.network.parameters(), strict=True)
    assert all(0 < (after - before).abs().max() < 0.1 for after, before in learnt)  # an epoch's steps away
    assert not trained.module.training
