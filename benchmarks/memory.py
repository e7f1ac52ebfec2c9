"""The most memory that a call held, above what the process held when it began."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch


class Peak:
    """The most memory of a block, in MiB; NaN on systems other than Linux, which do not say."""

    mib = float("nan")


@contextmanager
def peak(device: str) -> Iterator[Peak]:
    """Measure the block: resident memory of the process on the CPU, torch's own memory on another device.

    On the CPU freed memory is given back to the system first, so that what an earlier call left does not hide any.
    Files that a library maps at its first call count as well.
    """
    memory = Peak()
    before = _held(device)
    yield memory
    if before is not None:
        memory.mib = (_most(device) - before) / 2**20


def _held(device: str) -> float | None:
    """Return the bytes held now, and begin to watch the most; None where that cannot be watched."""
    gc.collect()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the most resident memory is that of now
        return _most(device)
    except (OSError, AttributeError):
        return None


def _most(device: str) -> float:
    if device != "cpu":
        return torch.cuda.max_memory_allocated()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
