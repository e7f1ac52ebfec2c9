"""Flags that a fit takes or refuses before anything is built; a finished fit that may only be read."""

import logging
import os
from pathlib import Path

import pytest
import torch

import train
from detectors import load
from tests.experiments.conftest import SMALL_FIT


def test_a_bare_fit_leaves_the_model_without_log_and_last_checkpoint(fit, tmp_path):
    assert fit("--trainer.barebones", "true") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.yaml", "model.ckpt"]


def test_a_fit_in_mixed_precision_leaves_weights_that_load(fit, tmp_path):
    assert fit("--trainer.precision", "bf16-mixed") == 0
    assert next(load(tmp_path / "out/model.ckpt").parameters()).dtype == torch.float32


def test_a_callback_with_an_enum_among_its_defaults_is_accepted(fit, tmp_path):
    assert fit("--trainer.callbacks+=lightning.pytorch.callbacks.Timer") == 0
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
    options = iter(SMALL_FIT)
    without_data = [f"{name}={value}" for name, value in zip(options, options, strict=True) if "--data" not in name]
    assert train.main(["fit", *without_data]) == 1
    assert "fit needs data: give them by --data" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_metric_that_a_callback_waits_for_in_vain_is_told(fit, capsys):
    stopping = "--trainer.callbacks+=lightning.pytorch.callbacks.EarlyStopping"
    assert fit(stopping, "--trainer.callbacks.monitor", "val_loss") == 1
    assert "`validation/loss`" in capsys.readouterr().err


@pytest.fixture
def read_only(fit, monkeypatch):
    """Return a function that runs a command on a finished fit that may only be read."""
    assert fit() == 0
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "out" and access(path, mode))
    return lambda command, *options: fit(*options, command=command)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["test", "validate"])
def test_nothing_is_logged_where_nothing_can_be_written(read_only, tmp_path, capsys, caplog, command):
    caplog.set_level(logging.INFO, "lightning.pytorch")  # a pipeline silences it for the rest of a process
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert read_only(command) == 0
    assert "/accuracy" in capsys.readouterr().out
    assert caplog.messages.count("nothing is logged: out cannot be written") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before


@pytest.mark.slow
def test_predictions_need_another_folder(read_only, tmp_path, capsys):
    assert read_only("predict") == 1
    told = "predict writes into out, which cannot be written: give another folder, --trainer.default_root_dir FOLDER"
    assert f"error: {told} --ckpt_path out/model.ckpt\n" in capsys.readouterr().err
    assert read_only("predict", "--trainer.default_root_dir", "new/place", "--ckpt_path", "out/model.ckpt") == 0
    assert (tmp_path / "new/place/predictions.npz").exists()
