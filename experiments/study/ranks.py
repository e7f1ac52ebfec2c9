"""Several processes that evaluate one run: each computes its share, and all get all results.

Every process runs the same command. What takes long goes through `shared`, which deals items out by their number, or
through `first`, where one process computes for all. Lightning Fabric starts and connects the processes.
"""

import logging
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, TypeVar

import torch
from lightning.fabric import Fabric
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.strategies.ddp import DDPStrategy
from torch import distributed

from attacks.checks import at_least
from attacks.errors import InputError
from experiments.errors import refusal

Item = TypeVar("Item")
Value = TypeVar("Value")

ENDED: Final = "another process of this evaluation has ended: what was finished is kept, the same command goes on"

_ALIKE: Final = "give all of them the same files, options and random numbers, or start one process"

_PATIENCE: Final = timedelta(days=1)
"""The longest wait for another process; one that has died is noticed at once."""

_KINDS: Final = ("cpu", "cuda")


class RankError(Exception):
    """Another process of the same evaluation has failed or ended."""


class _Failure(NamedTuple):
    error: Exception


class _Part(NamedTuple):
    """A value of a process, and the place in the code where it waits for the others."""

    place: str
    value: Any


class _Group:
    """Which process this is, and how many there are that wait for each other."""

    rank = 0
    count = 1


def rank() -> int:
    """Return the number of this process; 0 is the first one, which prints and writes."""
    return _Group.rank


def processes() -> int:
    """Return the number of processes that share the work."""
    return _Group.count


def gather(value: Value, place: str = "gather") -> list[Value]:
    """Return the values of all processes, in their order.

    Args:
        value: That of this process.
        place: Where in the code it is; the same in all processes.

    Raises:
        RankError: If another process has ended, or is at another place.
        Exception: What another process has raised.
    """
    if _Group.count == 1:
        return [value]
    parts: list[Any] = [None] * _Group.count
    try:
        distributed.all_gather_object(parts, _Part(place, value))
    except RuntimeError as error:  # a connection was closed
        raise RankError(ENDED) from error
    for part in parts:
        if isinstance(part.value, _Failure):
            raise part.value.error
    _same({part.place: number for number, part in reversed(list(enumerate(parts)))})
    return [part.value for part in parts]


def _same(places: Mapping[str, int]) -> None:
    """Refuse places of more than one kind, each with the number of its first process."""
    if len(places) > 1:
        where = "; ".join(f"process {number}: {place}" for place, number in sorted(places.items(), key=itemgetter(1)))
        msg = f"the processes of this evaluation took different ways ({where}): {_ALIKE}"
        raise RankError(msg)


def _place(function: Callable[..., Any]) -> str:
    """Return where in the code a function is."""
    code = getattr(function, "__code__", None)
    return f"{Path(code.co_filename).name}, line {code.co_firstlineno}" if code else type(function).__name__


def first(function: Callable[[], Value]) -> Value:
    """Return to all processes what a function gives in the first one; the others wait.

    Within `shared` and `first` each process is alone, and the function runs in it.
    """
    mine = _Group.count == 1 or _Group.rank == 0
    return _gathered(lambda: function() if mine else None, _place(function))[0]  # type: ignore[return-value]


def shared(function: Callable[[Item], Value], items: Iterable[Item]) -> list[Value]:
    """Return a function's values for items, in their order; process r computes those of items r, r + count, ...

    Args:
        function: Takes an item; what it asks of other processes, it does alone.
        items: The same in all processes.
    """
    every, count = list(items), _Group.count
    mine = every[_Group.rank % count :: count]
    place = f"{_place(function)}, {len(every)} items"
    parts = [iter(part) for part in _gathered(lambda: list(map(function, mine)), place)]
    return [next(parts[number % count]) for number in range(len(every))]


def _gathered(function: Callable[[], Value], place: str) -> list[Value]:
    """Return what a function gives in each process; what it raises in one, all raise."""
    try:
        with _alone():
            value = function()
    except Exception as error:
        _tell(error)
        raise
    return gather(value, place)


def _tell(error: Exception) -> None:
    """Raise an error in the other processes, if any; one that cannot be sent becomes a `RankError`."""
    if _Group.count == 1:
        return
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - an object of our own
    except Exception:  # a class of a user's may fail anyhow
        error = RankError(refusal(error) or repr(error))
    with suppress(Exception):  # what the others raise is theirs
        gather(_Failure(error))


@contextmanager
def _alone() -> Iterator[None]:
    """Let nothing inside wait for other processes."""
    count = _Group.count
    _Group.count = 1
    try:
        yield
    finally:
        _Group.count = count


@contextmanager
def together(device: str, processes: int) -> Iterator[torch.device | None]:
    """Connect the processes of this evaluation, and yield the device of this one; None if there is only one process.

    The processes are those that torchrun or srun started; else they are started here.

    Args:
        device: auto, cpu or cuda.
        processes: How many run on this machine, each on a device of its own.

    Raises:
        ValueError: If the devices cannot be had.
        RankError: If another process has failed or ended.
    """
    at_least(1, whole=True, devices=processes)
    launched = _launched()
    if launched is None and processes == 1:
        yield None
        return
    here, machines, environment = launched or (processes, 1, LightningEnvironment())
    _check(processes, here)
    kind = _kind(device, here)
    children = _connected(kind, here, machines, environment)
    try:
        yield torch.device(kind)
        _wait(children)
    except Exception as error:
        _ended(error)
    finally:
        _Group.rank, _Group.count = 0, 1
        for child in children:
            child.terminate()
        distributed.destroy_process_group()


def _wait(children: Iterable[Any]) -> None:
    """Wait for processes that were started here; one that failed after its last result is told as well."""
    statuses = [child.wait() for child in children]
    if any(statuses):
        raise RankError(ENDED)


def _ended(error: Exception) -> NoReturn:
    """Tell the others why this process fails, unless they know; the first one prints it, a bug all do."""
    if not isinstance(error, RankError):
        _tell(error)
    if _Group.rank and refusal(error) is not None:
        raise SystemExit(1) from error
    raise error


def _launched() -> tuple[int, int, Any] | None:
    """Return how many processes torchrun or srun started here, on how many machines, and Lightning's class for that."""
    if distributed.is_available() and distributed.is_torchelastic_launched():
        total, here = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
        return (here, total // here, TorchElasticEnvironment()) if total > 1 else None
    total, machines = (int(os.environ.get(f"SLURM_STEP_NUM_{what}", "1")) for what in ("TASKS", "NODES"))
    return (total // machines, machines, SLURMEnvironment(auto_requeue=False)) if total > 1 else None


def _check(processes: int, here: int) -> None:
    if processes not in {1, here}:
        msg = f"--devices {processes} starts processes, but {here} on this machine were started already: leave it out"
        raise InputError(msg)


def _kind(device: str, processes: int) -> str:
    """Return cpu or cuda."""
    kind = device if device != "auto" else _KINDS[torch.cuda.is_available()]
    if kind not in _KINDS:
        msg = f"{processes} processes take a device each: give --device auto, cpu or cuda, not {device!r}"
        raise InputError(msg)
    if kind == "cuda" and processes > torch.cuda.device_count():
        msg = f"{processes} processes need a GPU each, and this machine has {torch.cuda.device_count()}: start fewer"
        raise InputError(msg)
    return kind


def _connected(kind: str, processes: int, machines: int, environment: Any) -> list[Any]:
    """Connect this process to the others, and return those that it started."""
    for name in ("fabric.utilities.distributed", "fabric.utilities.rank_zero", "pytorch.utilities.rank_zero"):
        logging.getLogger(f"lightning.{name}").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric.strategies.launchers.subprocess_script").addFilter(_in_our_words)
    strategy = DDPStrategy(process_group_backend="gloo", timeout=_PATIENCE)  # results are gathered on the CPU
    fabric = Fabric(accelerator=kind, devices=processes, num_nodes=machines, strategy=strategy, plugins=[environment])
    fabric.launch()
    _Group.rank, _Group.count = fabric.global_rank, fabric.world_size
    return getattr(strategy.launcher, "procs", [])


def _in_our_words(record: logging.LogRecord) -> bool:
    """Replace Lightning's message about a process that it started and that died, before it ends the others."""
    record.msg = f"error: {ENDED}"
    return True
