"""Stages of a pipeline side by side: the same models as one by one, and an end for all when one fails."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch

import train
from experiments.training.side_by_side import side_by_side
from experiments.training.stages import Stage
from saliency.files import UnwrittenError
from tests.experiments.conftest import pipeline_file
from tests.experiments.training.test_pipeline import STAGES, same

BIG = 600.0
"""Seconds that nothing here takes, unless what should have been stopped goes on."""


def test_they_end_with_the_same_weights_and_leave_nothing_else(finished, run_pipeline, monkeypatch, capfd):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2 * THREADS)  # so that each process has as many as this one
    status, folder = run_pipeline("--jobs", "2", trainer={"accelerator": "cpu"})
    assert status == 0
    for name in STAGES:
        assert same(folder / name / "model.ckpt", finished / name / "model.ckpt"), name
    assert {path.name for path in folder.iterdir()} == {path.name for path in finished.iterdir()}
    lines = capfd.readouterr().out.splitlines()
    order = [line.partition(" ")[2] for line in lines if line.endswith(": training")]
    assert set(order[:2]) == {"classifier/seed_0: training", "saliency/encoder: training"}
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
            time.sleep(BIG)
        finally:
            stage.model.touch()
    while not (stage.folder.parent / "waits").exists():
        time.sleep(0.01)
    if stage.name == "fails":
        raise UnwrittenError(stage.folder, "no room")  # cannot be pickled
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(("name", "told"), [("fails", "no room"), ("dies", "the process that trained dies was ended")])
def test_one_that_fails_is_told_and_the_others_stop(tmp_path, name, told):
    start = time.monotonic()
    with pytest.raises(Exception, match=told):
        list(side_by_side(stages(tmp_path, name, "waits", "never begins"), 2, fails_or_waits))
    assert time.monotonic() - start < BIG / 2
    assert (tmp_path / "waits/model.ckpt").exists()  # it came to its `finally`
    assert not (tmp_path / "never begins").exists()
    assert not multiprocessing.active_children()


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
