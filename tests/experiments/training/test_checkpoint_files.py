"""What a fit writes is whole, also on a full disk: the file is named, and the fit goes on from what was there."""

import logging
import threading
from pathlib import Path

import pytest
from lightning.pytorch.plugins import AsyncCheckpointIO, TorchCheckpointIO
from tensorboard.compat.tensorflow_stub.io.gfile import LocalFileSystem

from detectors import load
from experiments.training.checkpoints import AtomicCheckpoints, atomic
from experiments.training.folder_access import named_log
from tests.saliency.helpers import same, snapshot


class Own(TorchCheckpointIO):
    """A user's own plugin."""


@pytest.fixture
def full_disk(monkeypatch):
    """Return a function that lets the writing of a file of that name fail from then on."""
    replace = Path.replace

    def fill(name):
        def fail(path, target):
            if Path(target).name == name:
                raise OSError(28, "No space left on device")
            return replace(path, target)

        monkeypatch.setattr(Path, "replace", fail)

    return fill


def test_lightning_s_way_of_writing_is_replaced_and_a_users_own_is_not():
    own, around = Own(), AsyncCheckpointIO(Own())
    assert isinstance(atomic(TorchCheckpointIO()), AtomicCheckpoints)
    assert isinstance(atomic(AsyncCheckpointIO(TorchCheckpointIO())).checkpoint_io, AtomicCheckpoints)
    assert atomic(own) is own
    assert atomic(around).checkpoint_io is around.checkpoint_io


def test_a_checkpoint_of_another_machine_is_left_to_lightning():
    AtomicCheckpoints().save_checkpoint({"a": 1}, "memory://folder/last.ckpt")
    assert AtomicCheckpoints().load_checkpoint("memory://folder/last.ckpt", weights_only=True) == {"a": 1}


def test_a_disk_that_is_full_at_the_second_epoch_leaves_the_first_from_which_the_fit_goes_on(
    fit, full_disk, tmp_path, capsys, monkeypatch
):
    assert fit("--trainer.max_epochs", "2", "--trainer.default_root_dir", "never_full") == 0
    assert fit() == 0
    (tmp_path / "out/model.ckpt").unlink()
    before = (tmp_path / "out/last.ckpt").read_bytes()
    full_disk("last.ckpt")
    further = ["--trainer.max_epochs", "2", "--ckpt_path", "out/last.ckpt"]
    assert fit(*further) == 1
    assert "out/last.ckpt could not be written (No space left on device)" in capsys.readouterr().err
    assert (tmp_path / "out/last.ckpt").read_bytes() == before
    assert not list((tmp_path / "out").glob("*.tmp"))
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert fit(*further) == 0
    assert same(load(tmp_path / "out/model.ckpt"), snapshot(load(tmp_path / "never_full/model.ckpt")))


def test_a_checkpoint_written_in_the_background_is_whole_too(fit, full_disk, tmp_path, capsys):
    full_disk("last.ckpt")
    assert fit("--trainer.plugins", "lightning.pytorch.plugins.AsyncCheckpointIO") == 1
    assert "out/last.ckpt could not be written" in capsys.readouterr().err
    assert not (tmp_path / "out/last.ckpt").exists()


@pytest.mark.parametrize("written", [LocalFileSystem, "lightning.pytorch.core.saving.yaml.dump"])
def test_a_log_that_cannot_be_written_is_named_without_a_traceback(fit, capsys, monkeypatch, written):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((written, "_write") if written is LocalFileSystem else (written,)), fail)
    assert fit() == 1
    told = capsys.readouterr().err
    assert "out/events.out.tfevents.* could not be written (No space left on device)" in told
    assert "Traceback" not in told


def test_what_fails_in_another_thread_is_shown_as_ever(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    with named_log(tmp_path):
        thread = threading.Thread(target=logging.getLogger("x").setLevel, args=("no level",))
        thread.start()
        thread.join()
    assert [type(failure.exc_value) for failure in seen] == [ValueError]
    assert threading.excepthook == seen.append


def test_errors_of_other_files_are_left_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), named_log(tmp_path):
        (tmp_path / "none").read_text()
