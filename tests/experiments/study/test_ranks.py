"""Several processes that evaluate one run: what they share, how they fail, and that the report is that of one."""

import json
import os
import re
import shutil
import signal
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import evaluate
from attacks.errors import InputError
from experiments.process import guarded
from experiments.study.batches import in_batches
from experiments.study.fitted_detectors import fit_detector
from experiments.study.kept_tensors import kept
from experiments.study.ranks import ENDED, first, gather, rank, shared, together
from experiments.study.rows import on_disk
from saliency.files import UnwrittenError
from tests.forked import forked

SLURM = {
    "SLURM_JOB_NAME": "test",
    "SLURM_NTASKS": "2",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_NUM_NODES": "1",
    "SLURM_NODEID": "0",
    "MASTER_ADDR": "127.0.0.1",
    "OMP_NUM_THREADS": "1",
}
"""What srun tells two tasks on one machine."""


def task(number: int, port: int, output: Path, command, *arguments) -> None:
    """Run a command as one of two tasks of srun, its output in a file; exit with its status."""
    os.environ.update(SLURM, SLURM_PROCID=str(number), SLURM_LOCALID=str(number), MASTER_PORT=str(port))
    sys.stdout = sys.stderr = output.open("w")
    status = command(*arguments)
    sys.stdout.flush()
    os._exit(status)


def two(folder: Path, command, *arguments) -> list[tuple[int, str]]:
    """Return the exit status and the output of each of two processes that run a command."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    outputs = [folder / f"{number}.txt" for number in (0, 1)]
    processes = [forked(task, number, port, output, command, *arguments) for number, output in enumerate(outputs)]
    for process in processes:
        process.join(100)
    return [(process.exitcode, output.read_text()) for process, output in zip(processes, outputs, strict=True)]


def in_group(function) -> int:
    """Run a function of the folder among the processes, as a command of `evaluate.py` runs."""

    def command(_: list[str]) -> None:
        with together("cpu", 1):
            function()

    return guarded(command, [])


def test_one_process_waits_for_nobody():
    with together("cpu", 1) as device:
        assert device is None
        assert (rank(), gather("a"), first(lambda: 2), shared(str, range(3))) == (0, ["a"], 2, ["0", "1", "2"])


@pytest.mark.parametrize(
    ("device", "processes", "told"),
    [
        ("cpu", 0, "devices must be at least 1, got 0"),
        ("cuda:1", 2, "2 processes take a device each: give --device auto, cpu or cuda, not 'cuda:1'"),
        ("cuda", 99, "99 processes need a GPU each"),
    ],
)
def test_devices_that_cannot_be_had_are_told(device, processes, told):
    with pytest.raises(InputError, match=re.escape(told)), together(device, processes):
        pass


def test_processes_that_srun_started_are_not_started_again(monkeypatch):
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="--devices 3 starts processes, but 2 on this machine"), together("cpu", 3):
        pass


def test_two_processes_share_batches_and_files_and_all_get_all(tmp_path):
    images = torch.rand(150, 1, 4, 4)

    def work() -> None:
        seen = []

        def doubled(batch):
            seen.append(len(batch))
            return 2 * batch

        cpu = torch.device("cpu")
        made = lambda: {"values": in_batches(doubled, images, device=cpu, size=32)}  # noqa: E731
        assert torch.equal(kept(tmp_path / "kept", "a" * 32, 150, made)["values"], 2 * images)
        assert seen == ([32, 32, 22] if rank() == 0 else [32, 32])
        assert gather(rank()) == [0, 1]
        assert torch.equal(kept(tmp_path / "kept", "a" * 32, 150, made)["values"], 2 * images)
        assert len(seen) == 3 - rank()
        assert first(rank) == 0
        assert shared(lambda _: gather(rank()), range(3)) == [[0], [1], [0]]
        alone = lambda number: kept(tmp_path / "kept", f"{number:032x}", 1, lambda: {"rank": torch.tensor([rank()])})  # noqa: E731
        assert [made["rank"].item() for made in shared(alone, range(3))] == [0, 1, 0]
        assert len(list((tmp_path / "kept").glob("0*"))) == 3  # what each has made is kept at once
        sys.stdout.write("all is well")

    assert two(tmp_path, in_group, work) == [(0, "all is well")] * 2


def test_the_error_of_one_is_that_of_all_and_told_once(tmp_path):
    def work() -> None:
        try:
            shared(_refuse_one, range(2))
        except FileNotFoundError as error:
            assert str(error) == "there is no 1"  # noqa: PT017 - in a process of its own
        if rank() == 1:
            raise UnwrittenError(Path("a"), "full")
        gather(0)

    def _refuse_one(number: int) -> None:
        if number == 1:
            msg = "there is no 1"
            raise FileNotFoundError(msg)

    (status, told), (other, silent) = two(tmp_path, in_group, work)
    assert (status, other, silent) == (1, 1, "")
    assert told.startswith("error: a could not be written (full)")
    assert len(told.splitlines()) == 1


def test_a_process_that_dies_ends_the_others_with_a_sentence(tmp_path):
    def work() -> None:
        if rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        gather(0)

    (status, told), (other, _) = two(tmp_path, in_group, work)
    assert (status, other) == (1, -signal.SIGKILL)
    assert told == f"error: {ENDED}\n"


def test_processes_at_different_places_say_where_and_end(tmp_path):
    def work() -> None:
        gather(0)
        if rank() == 0:
            first(lambda: 1)
        else:
            shared(str, range(3))

    (status, told), (other, silent) = two(tmp_path, in_group, work)
    assert (status, other, silent) == (1, 1, "")
    assert re.fullmatch(
        r"error: the processes of this evaluation took different ways \(process 0: test_ranks.py, line \d+; process 1: "
        r"type, 3 items\): give all of them the same files, options and random numbers, or start one process\n",
        told,
    )


def test_processes_of_a_machine_share_a_temporary_file_that_leaves_no_name(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))

    def work() -> None:
        rows = on_disk(torch.arange(600).view(-1, 2).split(7))
        assert list((tmp_path / "temporary").iterdir()) == []
        assert torch.equal(rows[250:260], torch.arange(500, 520).view(-1, 2))
        files = gather(os.fstat(closed_over(rows, "file").fileno()).st_ino)
        assert files[0] == files[1]
        alone = shared(lambda _: on_disk([torch.full((3,), rank())])[1:2].item(), range(2))
        assert alone == [0, 1]
        sys.stdout.write("all is well")

    assert two(tmp_path, in_group, work) == [(0, "all is well")] * 2


def closed_over(rows, name):
    """Return a variable that the function which reads rows holds."""
    return dict(zip(rows._read.__code__.co_freevars, rows._read.__closure__, strict=True))[name].cell_contents


def test_a_fit_that_differs_between_processes_is_refused(tmp_path):
    class Own(torch.nn.Linear):
        def fit(self, clean):
            torch.nn.init.constant_(self.weight, rank() if clean == "apart" else 2)

    def fitted(clean) -> float:
        images = SimpleNamespace(clean=lambda: clean)
        return fit_detector("own", Own(1, 1), images, tmp_path)

    def work() -> None:
        assert len(set(gather(fitted("alike")))) == 1
        fitted("apart")

    (status, told), (other, silent) = two(tmp_path, in_group, work)
    assert (status, other, silent) == (1, 1, "")
    assert told == (
        "error: own got other weights in each process: let its method fit draw its random numbers from torch, or start "
        "one process\n"
    )


def without_times(value):
    """Return a report without measured seconds, and the run's place."""
    if isinstance(value, dict) and "header" in value:
        timed = ["seconds" in name for name in value["header"]]
        rows = [[cell for cell, left_out in zip(row, timed, strict=True) if not left_out] for row in value["rows"]]
        value = value | {"rows": rows}
    if isinstance(value, dict):
        return {name: without_times(part) for name, part in value.items() if name not in {"seconds", "run", "command"}}
    return [without_times(part) for part in value] if isinstance(value, list) else value


WHITE_BOX = ["--images", "40", "--steps", "2", "--curve_images", "4", "--suite_attacks", "[hinged]", "--seeds", "[0]"]


@pytest.mark.long
@pytest.mark.parametrize(("protocol", "options"), [("transfer", []), ("white-box", WHITE_BOX)])
def test_the_report_of_two_processes_is_that_of_one(finished, tmp_path, protocol, options):
    texts = []
    for name in ("one", "two"):
        run = shutil.copytree(finished, tmp_path / name)
        shutil.rmtree(run / "report", ignore_errors=True)
        command = [protocol, "--run", str(run), "--device", "cpu", *options]
        if name == "one":
            assert evaluate.main(command) == 0
        else:
            (status, told), (other, silent) = two(tmp_path, evaluate.main, command)
            assert (status, other, silent) == (0, 0, "")
            assert "report: " in told
        report = json.loads((run / "report" / f"{protocol}.json").read_text())
        texts.append(json.dumps(without_times(report)).replace(str(run), "RUN"))
        assert (run / "report/report.html").exists()
    assert texts[0] == texts[1]
