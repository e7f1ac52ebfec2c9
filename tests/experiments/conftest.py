"""A pipeline on digits that takes seconds, and a finished run of it that tests may read but not change."""

from pathlib import Path

import pytest
import yaml

import train
from data import Digits

ENTRY = {"trainer": {"max_epochs": 1}}


def pipeline_file(folder: Path, run: Path, **changes) -> Path:
    """Write a small pipeline file with some keys changed, and return its path."""
    contents = {
        "run": str(run),
        "seeds": [0],
        "trainer": {"accelerator": "cpu", "enable_progress_bar": False},
        "data": {"class_path": "data.Digits", "init_args": {"train_limit": 400, "test_limit": 40}},
        "classifier": {"model": {"class_path": "detectors.Classifier", "init_args": {"widths": [4]}}, **ENTRY},
        "saliency": {
            "encoder": {"model": {"class_path": "saliency.Encoder", "init_args": {"width": 4}}, **ENTRY},
            "selector": {"model": {"class_path": "saliency.Selector"}, **ENTRY},
            "mask": {"model": {"class_path": "saliency.SaliencyModel"}, **ENTRY},
        },
        "attacks": {
            "fgsm": {"class_path": "attacks.FGSM", "init_args": {"epsilon": 0.1}},
            "none": {"class_path": "attacks.FGSM", "init_args": {"epsilon": 0.0}},
        },
        "detectors": {
            "id": {"model": {"class_path": "detectors.ID"}, "trainer": {"max_epochs": 2}},
            "spd": {"model": {"class_path": "detectors.SPD"}, **ENTRY},
        },
        "train_on": ["fgsm"],
    } | changes
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(contents))
    return path


@pytest.fixture
def run_pipeline(tmp_path, monkeypatch):
    """Return a function that writes a small pipeline file, runs it, and returns exit status and run folder."""
    monkeypatch.chdir(tmp_path)

    def run(*options: str, **changes) -> tuple[int, Path]:
        folder = tmp_path / "run"
        return train.main(["pipeline", "--config", str(pipeline_file(tmp_path, folder, **changes)), *options]), folder

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The run folder of a finished small pipeline."""
    folder = tmp_path_factory.mktemp("finished")
    assert train.main(["pipeline", "--config", str(pipeline_file(folder, folder / "run"))]) == 0
    return folder / "run"


@pytest.fixture
def digits():
    return Digits(train_limit=400, test_limit=40)


SMALL_FIT = [
    *(
        "--model",
        "detectors.Classifier",
        "--model.shape",
        "[1,28,28]",
        "--model.classes",
        "10",
        "--model.widths",
        "[4]",
    ),
    *("--data", "data.Digits", "--data.train_limit", "200", "--data.test_limit", "20"),
    *("--trainer.accelerator", "cpu", "--trainer.max_epochs", "1", "--trainer.enable_progress_bar", "false"),
]


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """Return a function that fits a small classifier in the folder out, with more options, and returns the status."""
    monkeypatch.chdir(tmp_path)
    where = ["--trainer.default_root_dir", "out"]
    return lambda *options, command="fit": train.main([command, *SMALL_FIT, *where, *options])
