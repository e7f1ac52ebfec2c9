"""The one loop over batches: each is moved to a device and, if wanted, counted by a progress bar."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from rich.progress import Progress
from torch import Tensor, nn

from attacks.errors import InputError
from data.pairs import predict

BATCH: Final = 64
"""Images of a batch, unless another number is asked for."""


def usable_device(name: str) -> torch.device:
    """Return the device of a name; of `auto` a GPU if there is one.

    Raises:
        ValueError: If it cannot be used here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        msg = f"device {name!r} cannot be used here ({str(error).splitlines()[0]}): use cpu, or auto"
        raise InputError(msg) from error
    return torch.device(name)


def batches(
    *tensors: Tensor | None,
    device: torch.device,
    size: int = BATCH,
    progress: Progress | None = None,
    about: str = "",
) -> Iterator[tuple[Any, ...]]:
    """Yield corresponding rows of tensors, batch by batch, on a device; of empty tensors one empty batch.

    Args:
        tensors: (M, ...) each; None stays None in every batch, but the first is a tensor.
        device: Where the batches go.
        size: Rows of a batch.
        progress: Shows a bar that is removed at the end; None: no bar.
        about: What stands beside the bar.
    """
    count = 0 if tensors[0] is None else len(tensors[0])
    starts = range(0, max(count, 1), size)
    bar = None if progress is None else progress.add_task(about)
    for start in starts if progress is None or bar is None else progress.track(starts, task_id=bar):
        yield tuple(None if tensor is None else tensor[start : start + size].to(device) for tensor in tensors)
    if progress is not None and bar is not None:
        progress.remove_task(bar)  # a protocol makes hundreds of bars: finished ones would fill the screen


def in_batches(function: Callable[..., Tensor], *tensors: Tensor | None, **options: Any) -> Tensor:
    """Return a function's outputs for the batches of tensors, joined, on the CPU.

    Args:
        function: Takes a batch of each tensor.
        tensors: See `batches`.
        options: device, size, progress and about of `batches`.
    """
    return torch.cat([function(*batch).cpu() for batch in batches(*tensors, **options)])


def predictions(classifier: nn.Module, images: Tensor, device: torch.device, size: int = BATCH) -> Tensor:
    """Return the classes (M,) that a classifier predicts for images (M, C, H, W), on the CPU."""
    return in_batches(lambda batch: predict(classifier, batch), images, device=device, size=size)
