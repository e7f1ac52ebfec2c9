"""One process at a time writes into a folder; a log that cannot be written is named."""

import errno
import logging
import os
import signal
import socket
import threading
import time
from contextlib import contextmanager

import pytest
from filelock import FileLock
from tensorboard.compat.tensorflow_stub.io.gfile import LocalFileSystem

import train
from experiments.training.folder_access import alone, named_log
from tests.experiments.conftest import pipeline_file
from tests.forked import forked


def hold(folder):
    """Hold a folder until killed."""
    with alone(folder):
        time.sleep(60)


@pytest.fixture
def held(tmp_path):
    """A folder that another process holds, and that process."""
    folder = tmp_path / "out"
    process = forked(hold, folder)
    deadline = time.monotonic() + 60
    while not (folder / "working.txt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    yield folder, process
    process.kill()
    process.join(60)


def test_the_second_is_told_who_holds_the_folder(held):
    folder, process = held
    who = rf"process {process.pid} on {socket.gethostname()} since \d{{4}}-\d\d-\d\d \d\d:\d\d UTC: wait until"
    with pytest.raises(BlockingIOError, match=f"out is in use by {who}"), alone(folder):
        pass
    assert sorted(path.name for path in folder.iterdir()) == ["working.lock", "working.txt"]


def test_a_killed_process_holds_nothing(held):
    folder, process = held
    process.kill()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    with alone(folder):
        assert f"process {os.getpid()} " in (folder / "working.txt").read_text()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK"])
def test_the_other_ranks_of_a_distributed_run_are_let_in(held, monkeypatch, name):
    folder, process = held
    monkeypatch.setenv(name, "1")
    with alone(folder):
        assert f"process {process.pid} " in (folder / "working.txt").read_text()
    assert sorted(path.name for path in folder.iterdir()) == ["working.lock", "working.txt"]
    monkeypatch.setenv(name, "0")
    with pytest.raises(BlockingIOError), alone(folder):
        pass


def test_nothing_is_left_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="a bug"), alone(tmp_path):
        raise ValueError("a bug")  # noqa: EM101, TRY003
    assert list(tmp_path.iterdir()) == []
    with alone(tmp_path):
        pass


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no flock")])
def test_where_nothing_can_be_locked_a_warning_says_so(tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(FileLock, "acquire", fail)
    with pytest.warns(UserWarning, match="cannot be locked: start no second process there"), alone(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OSError, match=r"file/out could not be written \(Not a directory\)"),
        alone(tmp_path / "file/out"),
    ):
        pass


def test_a_fit_in_a_folder_that_is_in_use_is_refused(held, fit, capsys):
    folder, process = held
    (folder / "last.ckpt").write_text("of the other process")
    assert fit() == 1
    assert f"error: out is in use by process {process.pid} on " in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["last.ckpt", "working.lock", "working.txt"]


def test_a_pipeline_in_a_run_that_is_in_use_is_refused(held, tmp_path, monkeypatch, capsys):
    folder, process = held
    monkeypatch.chdir(tmp_path)
    command = ["pipeline", "--config", str(pipeline_file(tmp_path, folder, saliency={}, detectors={}))]
    assert train.main(command) == 1
    assert f"out is in use by process {process.pid} on " in capsys.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["working.lock", "working.txt"]


@contextmanager
def ended_meanwhile(folder):
    """Hold a folder in which another process has just finished a fit with another config."""
    folder = folder if folder.name == "fit" else folder / "classifier/seed_0"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.ckpt").write_text("finished")
    (folder / "config.yaml").write_text("seed_everything: 77")
    yield


def test_a_fit_does_not_overwrite_what_another_process_finished_meanwhile(fit, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("experiments.training.fitting.alone", ended_meanwhile)
    assert fit("--trainer.default_root_dir", "fit") == 1
    assert "fit holds a finished model" in capsys.readouterr().err
    assert (tmp_path / "fit/config.yaml").read_text() == "seed_everything: 77"


def test_a_pipeline_does_not_take_over_what_another_finished_meanwhile_otherwise(run_pipeline, monkeypatch, capsys):
    monkeypatch.setattr("experiments.training.pipeline.alone", ended_meanwhile)
    status, folder = run_pipeline(saliency={}, detectors={})
    assert status == 1
    assert "seed_0 was started with another config (seed_everything was 77, now 0)" in capsys.readouterr().err
    assert not (folder / "pipeline.yaml").exists()


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
