"""A finished fit that may only be read is tested and validated; predictions need a place."""

import logging
import os
from pathlib import Path

import pytest


@pytest.fixture
def read_only(fit, monkeypatch):
    """Return a function that runs a command on a finished fit that may only be read."""
    assert fit() == 0
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "out" and access(path, mode))
    return lambda command, *options: fit(*options, command=command)


@pytest.mark.parametrize("command", ["test", "validate"])
def test_nothing_is_logged_where_nothing_can_be_written(read_only, tmp_path, capsys, caplog, command):
    caplog.set_level(logging.INFO, "lightning.pytorch")  # a pipeline silences it for the rest of a process
    before = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert read_only(command) == 0
    assert "/accuracy" in capsys.readouterr().out
    assert caplog.messages.count("nothing is logged: out cannot be written") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before


def test_predictions_need_another_folder(read_only, tmp_path, capsys):
    assert read_only("predict") == 1
    told = "predict writes into out, which cannot be written: give another folder, --trainer.default_root_dir FOLDER"
    assert f"error: {told} --ckpt_path out/model.ckpt\n" in capsys.readouterr().err
    assert read_only("predict", "--trainer.default_root_dir", "new/place", "--ckpt_path", "out/model.ckpt") == 0
    assert (tmp_path / "new/place/predictions.npz").exists()
