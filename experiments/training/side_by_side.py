"""Stages of a pipeline side by side, each in a process of its own."""

import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch

from attacks.errors import InputError
from experiments.errors import UsageError, refusal
from experiments.process import work_for_parent
from experiments.training.sections import texts
from experiments.training.stages import Stage

Training = Callable[[Stage, str], float | None]
"""Trains a stage under a title, and returns the seconds that it took."""

_VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
_SINGLE: Final = (None, "auto", -1, "-1", 1, "1", [0])
"""Values of `trainer.devices` that mean one device in a process that sees no other."""


def check_devices(stages: Sequence[Stage], jobs: int) -> None:
    """Refuse stages that are to run side by side, and ask for several devices each, or run in several processes.

    Raises:
        ValueError: If there are some; names the first.
    """
    started = max(int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS"))
    if jobs > 1 and started > 1:
        msg = f"--jobs {jobs} starts processes, but torchrun or srun has started {started}: leave out one of both"
        raise InputError(msg)
    for stage in stages if jobs > 1 else ():
        trainer = stage.config["trainer"]
        if trainer.get("devices") not in _SINGLE or trainer.get("num_nodes") not in (None, 1):
            msg = (
                f"--jobs {jobs} gives each stage one device, but {stage.name} asks for several by trainer.devices or "
                "trainer.num_nodes: leave out these, or --jobs"
            )
            raise InputError(msg)


def side_by_side(stages: Mapping[str, Stage], jobs: int, training: Training) -> Iterator[tuple[Stage, float | None]]:
    """Train stages, each once the models that it needs are there; yield each at its end, with its seconds.

    The processes share the CPU's threads evenly, and take the GPUs in turn.

    Args:
        stages: Those to train by their titles; they begin in this order.
        jobs: How many run at a time.
        training: A function that another process can import.

    Raises:
        Exception: The first one of a stage. The other stages stop; the same command goes on with them.
    """
    waiting = dict(stages)
    running: dict[Future[float | None], tuple[Stage, ProcessPoolExecutor]] = {}
    with _idle_processes(min(jobs, len(stages))) as idle:
        while waiting or running:
            unfinished = [*waiting.values(), *(stage for stage, _ in running.values())]
            missing = {stage.model.resolve() for stage in unfinished}
            ready = [title for title, stage in waiting.items() if missing.isdisjoint(_checkpoints(stage))]
            if not (ready or running):
                ready = list(waiting)[:1]  # it says itself what it lacks
            for title, process in zip(ready, list(idle), strict=False):
                stage = waiting.pop(title)
                with _told(stage):
                    running[process.submit(_train, training, stage, title)] = stage, process
                idle.remove(process)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                stage, process = running.pop(future)
                idle.append(process)
                with _told(stage):
                    seconds = future.result()
                yield stage, seconds


def _checkpoints(stage: Stage) -> set[Path]:
    """Return the checkpoints that the config of a stage names."""
    return {Path(text).resolve() for _, text in texts(stage.config) if text.endswith(".ckpt")}


def _train(training: Training, stage: Stage, title: str) -> float | None:
    """Train a stage in a process of its own, where an error still has the traceback by which `refusal` judges it."""
    try:
        return training(stage, title)
    except UsageError:
        raise
    except Exception as error:
        sentence = refusal(error)
        raise (RuntimeError(repr(error)) if sentence is None else InputError(sentence)) from error


@contextmanager
def _told(stage: Stage) -> Iterator[None]:
    """Tell in one sentence that a process has ended before its stage was done."""
    try:
        yield
    except (BrokenProcessPool, SystemExit) as error:
        msg = (
            f"the process for {stage.name} ended before it was done (out of memory, stopped from outside, or it could "
            "not start): what was finished is kept, the same command goes on, perhaps with fewer --jobs"
        )
        raise InputError(msg) from error


@contextmanager
def _idle_processes(count: int) -> Iterator[list[ProcessPoolExecutor]]:
    """Yield so many pools of one process each; after an error, what runs in them stops between two steps."""
    gpus = visible_gpus(os.environ.get(_VISIBLE), torch.cuda.device_count())
    threads = max(1, torch.get_num_threads() // count)
    before = multiprocessing.active_children()
    pools = [
        ProcessPoolExecutor(
            1,
            multiprocessing.get_context("spawn"),  # a forked process cannot use CUDA
            initializer=_begin,
            initargs=(gpus[number % len(gpus)] if gpus else "", threads),
        )
        for number in range(count)
    ]
    try:
        yield list(pools)
    except BaseException:
        for child in set(multiprocessing.active_children()) - set(before):
            child.terminate()
        raise
    finally:
        for pool in pools:
            pool.shutdown(cancel_futures=True)


def visible_gpus(names: str | None, count: int) -> list[str]:
    """Return the names of the GPUs that a process may use, as CUDA reads them: up to the first that names none.

    Args:
        names: Value of CUDA_VISIBLE_DEVICES; None: it is not set.
        count: GPUs of the machine.
    """
    listed = [str(number) for number in range(count)] if names is None else map(str.strip, names.split(","))
    return list(itertools.takewhile(lambda name: name not in {"", "-1"}, listed))


def _begin(gpu: str, threads: int) -> None:
    work_for_parent()
    os.environ[_VISIBLE] = gpu
    torch.set_num_threads(threads)
