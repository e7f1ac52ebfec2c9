"""Flags of the trainer that a fit takes, and those that it refuses before anything is built."""

import pytest
import torch

import train
from detectors import load

MODEL = [
    "--model",
    "detectors.Classifier",
    "--model.shape",
    "[1,28,28]",
    "--model.classes",
    "10",
    "--model.widths",
    "[4]",
]
DATA = ["--data", "data.Digits", "--data.train_limit", "200", "--data.test_limit", "20"]
TRAINER = ["--trainer.accelerator", "cpu", "--trainer.max_epochs", "1", "--trainer.default_root_dir", "out"]


@pytest.fixture
def fit(tmp_path, monkeypatch):
    """Return a function that fits a small classifier in the folder out, with more options."""
    monkeypatch.chdir(tmp_path)
    return lambda *options: train.main(["fit", *MODEL, *DATA, *TRAINER, *options])


def test_a_bare_fit_leaves_the_model_without_log_and_last_checkpoint(fit, tmp_path):
    assert fit("--trainer.barebones", "true") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.yaml", "model.ckpt"]


def test_a_fit_in_mixed_precision_leaves_weights_that_load(fit, tmp_path):
    assert fit("--trainer.precision", "bf16-mixed", "--trainer.enable_progress_bar", "false") == 0
    assert next(load(tmp_path / "out/model.ckpt").parameters()).dtype == torch.float32


def test_a_callback_with_an_enum_among_its_defaults_is_accepted(fit, tmp_path):
    assert fit("--trainer.callbacks+=lightning.pytorch.callbacks.Timer", "--trainer.enable_progress_bar", "false") == 0
    assert "interval: step" in (tmp_path / "out/config.yaml").read_text()


@pytest.mark.parametrize(
    ("flag", "value", "told"),
    [
        ("precision", "64-true", "trainer.precision must be one of 32-true, 16-mixed, bf16-mixed, got 64-true"),
        ("precision", "16-true", "got 16-true"),
        ("precision", "transformer-engine", "got transformer-engine"),
        ("accumulate_grad_batches", "0", "trainer.accumulate_grad_batches must be at least 1, got 0"),
        ("default_root_dir", "null", "trainer.default_root_dir must be the folder of the fit's files, got null"),
        ("strategy", "dpp", "invalid strategy name: `strategy='dpp'`"),
        ("profiler", "smple", "it can only be one of ['simple',"),
    ],
)
def test_a_flag_that_cannot_be_used_is_refused_and_nothing_is_made(fit, tmp_path, capsys, flag, value, told):
    assert fit(f"--trainer.{flag}", value) == 1
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_fit_without_data_is_refused_and_nothing_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert train.main(["fit", *MODEL, *TRAINER]) == 1
    assert "fit needs data: give them by --data" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_metric_that_a_callback_waits_for_in_vain_is_told(fit, capsys):
    stopping = "--trainer.callbacks+=lightning.pytorch.callbacks.EarlyStopping"
    assert fit(stopping, "--trainer.callbacks.monitor", "val_loss", "--trainer.enable_progress_bar", "false") == 1
    assert "`validation/loss`" in capsys.readouterr().err
