"""Stages of a pipeline side by side: the same models as one by one, and an end for all when one fails."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch

import train
from attacks.errors import InputError
from experiments.errors import refusal
from experiments.training.side_by_side import side_by_side, visible_gpus
from experiments.training.stages import Stage
from saliency.files import UnwrittenError
from tests.experiments.conftest import pipeline_file
from tests.experiments.training.test_pipeline import STAGES, same
from tests.forked import forked

BIG = 600.0
"""Seconds that nothing here takes, unless what should have been stopped goes on."""


@pytest.mark.slow
def test_they_end_with_the_same_weights_and_leave_nothing_else(finished, run_pipeline, monkeypatch, capfd):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2 * THREADS)  # so that each process has as many as this one
    status, folder = run_pipeline("--jobs", "2", trainer={"accelerator": "cpu"})
    assert status == 0
    for name in STAGES:
        assert same(folder / name / "model.ckpt", finished / name / "model.ckpt"), name
    kept = {"adversarial", "classifier", "data.yaml", "detectors", "durations.yaml", "pipeline.yaml", "saliency"}
    assert {path.name for path in folder.iterdir()} == kept
    assert not [*folder.rglob("working.*")]
    lines = capfd.readouterr().out.splitlines()
    order = [line.partition(" ")[2] for line in lines if line.endswith(": training")]
    assert len(order) == len(STAGES)
    assert order.index("saliency/mask: training") < order.index("detectors/spd/fgsm/seed_0: training")
    assert "[7/7] classifier/second: epoch 1/1, validation/accuracy" in "\n".join(lines)
    assert not multiprocessing.active_children()


THREADS = torch.get_num_threads()


def stages(folder: Path, *names: str) -> dict[str, Stage]:
    return {name: Stage(name, folder / name, {"trainer": {}}) for name in names}


def fails_or_waits(stage: Stage, _title: str) -> None:
    if stage.name == "waits":
        stage.folder.mkdir()
        try:
            (stage.folder / "process").write_text(str(os.getpid()))
            time.sleep(BIG)
        finally:
            stage.model.touch()
    while not (stage.folder.parent / "waits/process").exists():
        time.sleep(0.01)
    if stage.name == "fails":
        raise UnwrittenError(stage.folder, "no room")
    if stage.name == "is wrong":
        raise KeyError(stage.name)
    if stage.name == "stops":
        raise SystemExit(1)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "told", "is_input"),
    [
        ("fails", "no room", True),
        ("is wrong", r"KeyError\('is wrong'\)", False),
        ("stops", "the process for stops ended before it was done", True),
        ("dies", "the process for dies ended before it was done", True),
    ],
)
def test_one_that_fails_is_told_and_the_others_stop(tmp_path, name, told, is_input):
    start = time.monotonic()
    with pytest.raises((InputError, RuntimeError), match=told) as failure:
        list(side_by_side(stages(tmp_path, name, "waits", "never begins"), 2, fails_or_waits))
    assert (refusal(failure.value) is not None) == is_input
    assert time.monotonic() - start < BIG / 2
    assert (tmp_path / "waits/model.ckpt").exists()  # it came to its `finally`
    assert not (tmp_path / "never begins").exists()
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_process_ends_with_its_parent(tmp_path):
    parent = forked(lambda: list(side_by_side(stages(tmp_path, "waits"), 1, fails_or_waits)))
    note = tmp_path / "waits/process"
    while not (note.exists() and note.read_text()):
        time.sleep(0.05)
    parent.kill()
    parent.join()
    process, deadline = int(note.read_text()), time.monotonic() + 60
    while is_running(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(process)
    assert (tmp_path / "waits/model.ckpt").exists()


def is_running(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def names_its_model(stage: Stage, _title: str) -> None:
    msg = f"{stage.model} is missing"
    raise InputError(msg)


@pytest.mark.slow
def test_a_stage_that_waits_for_itself_says_what_it_lacks(tmp_path):
    path = tmp_path / "one/model.ckpt"
    with pytest.raises(InputError, match=f"{path} is missing"):
        list(side_by_side({"one": Stage("one", path.parent, {"model": str(path)})}, 2, names_its_model))


@pytest.mark.parametrize(
    ("names", "found"),
    [(None, ["0", "1"]), ("", []), ("3", ["3"]), ("1, 0", ["1", "0"]), ("0,", ["0"]), ("2,-1,3", ["2"])],
)
def test_gpus_are_those_that_cuda_shows(names, found):
    assert visible_gpus(names, 2) == found


def test_processes_that_were_started_already_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    path = pipeline_file(tmp_path, tmp_path / "run")
    assert train.main(["pipeline", "--config", str(path), "--jobs", "2"]) == 1
    assert "torchrun or srun has started 2: leave out one of both" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--jobs", "0"], "jobs must be at least 1, got 0"),
        (["--jobs", "2", "--trainer.devices", "2"], "--jobs 2 gives each stage one device, but classifier/seed_0 asks"),
        (["--jobs", "2", "--detectors.spd.trainer.num_nodes", "2"], "but detectors/spd/fgsm/seed_0 asks for several"),
    ],
)
def test_wrong_options_are_told_in_one_sentence(tmp_path, capsys, options, told):
    assert train.main(["pipeline", "--config", str(pipeline_file(tmp_path, tmp_path / "run")), *options]) == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
