"""Stages of a pipeline side by side, each in a process of its own."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Final

import torch

from attacks.errors import InputError
from experiments.errors import sendable
from experiments.process import work_for_parent
from experiments.training.sections import texts
from experiments.training.stages import Stage

Training = Callable[[Stage, str], float | None]
"""Trains a stage under a title, and returns the seconds that it took."""

_VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
_SINGLE: Final = (None, "auto", -1, "-1", 1, "1")
"""Values of `trainer.devices` that mean one device in a process that sees no other."""


def check_devices(stages: Sequence[Stage], jobs: int) -> None:
    """Refuse stages that are to run side by side, and ask for several devices each.

    Raises:
        ValueError: If there are some; names the first.
    """
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
            unfinished = {str(stage.model) for stage in [*waiting.values(), *(stage for stage, _ in running.values())]}
            ready = [title for title, stage in waiting.items() if unfinished.isdisjoint(_named(stage))]
            for title, process in zip(ready, list(idle), strict=False):
                stage = waiting.pop(title)
                running[process.submit(_train, training, stage, title)] = stage, process
                idle.remove(process)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                stage, process = running.pop(future)
                idle.append(process)
                yield stage, _seconds(future, stage)


def _named(stage: Stage) -> set[str]:
    return {text for _, text in texts(stage.config)}


def _train(training: Training, stage: Stage, title: str) -> float | None:
    try:
        return training(stage, title)
    except Exception as error:
        raise sendable(error) from error


def _seconds(future: Future[float | None], stage: Stage) -> float | None:
    try:
        return future.result()
    except BrokenProcessPool as error:
        msg = (
            f"the process that trained {stage.name} was ended from outside, as the system does when memory is short: "
            "what was finished is kept, the same command with fewer --jobs goes on"
        )
        raise InputError(msg) from error


@contextmanager
def _idle_processes(count: int) -> Iterator[list[ProcessPoolExecutor]]:
    """Yield so many pools of one process each; after an error, what runs in them stops between two steps."""
    visible = os.environ.get(_VISIBLE)
    gpus = visible.split(",") if visible is not None else [str(number) for number in range(torch.cuda.device_count())]
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
    stop = multiprocessing.Process.terminate
    try:
        yield list(pools)
        stop = multiprocessing.Process.kill  # they are idle: nothing is lost
    finally:
        for child in set(multiprocessing.active_children()) - set(before):
            stop(child)
        for pool in pools:
            pool.shutdown(cancel_futures=True)


def _begin(gpu: str, threads: int) -> None:
    work_for_parent()
    os.environ[_VISIBLE] = gpu
    torch.set_num_threads(threads)
