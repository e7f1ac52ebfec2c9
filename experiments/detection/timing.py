"""How long something takes on a device, and what that device is."""

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

Value = TypeVar("Value")


def timed(function: Callable[[], Value], device: torch.device) -> tuple[Value, float]:
    """Return a function's result, and the seconds until the device has finished.

    Args:
        function: The timed function.
        device: Where it computes; a GPU is waited for before and after.
    """
    _wait(device)
    start = time.perf_counter()
    value = function()
    _wait(device)
    return value, time.perf_counter() - start


def device_name(device: torch.device) -> str:
    """Return the model of the processor or GPU, as the system names it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
