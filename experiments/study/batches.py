"""The one loop over batches, which several processes share: each is moved to a device and counted by a bar."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from rich.progress import Progress
from torch import Tensor, nn

from attacks import Attack
from attacks.errors import InputError
from data.pairs import predict
from detectors.scoring import scores
from experiments.study.ranks import processes, shared
from experiments.study.rows import Rows

BATCH: Final = 64
"""Images of a batch, unless another number is asked for."""

_TOGETHER: Final = 16
"""Batches that processes share at a time, whose outputs memory holds."""


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
    *tensors: Tensor | Rows | None,
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
        about: Text beside the progress bar.
    """
    starts = _starts(tensors, size)
    with _bar(progress, about, len(starts)) as advance:
        for start in starts:
            yield _batch(tensors, start, size, device)
            advance(1)


def outputs(
    function: Callable[..., Sequence[Tensor]],
    *tensors: Tensor | Rows | None,
    device: torch.device,
    size: int = BATCH,
    progress: Progress | None = None,
    about: str = "",
) -> Iterator[list[Tensor]]:
    """Yield a function's outputs for each batch of tensors, on the CPU.

    Several processes share the batches, which are the same as those of one process.

    Args:
        function: Takes a batch of each tensor, and returns tensors with as many rows.
        tensors: See `batches`, as the rest.
        device: Where the batches go.
        size: Rows of a batch.
        progress: Shows a bar.
        about: Text beside the progress bar.
    """
    starts, at_once = _starts(tensors, size), processes()
    with _bar(progress, about, len(starts)) as advance:

        def made(start: int) -> list[Tensor]:
            of_batch = [output.cpu() for output in function(*_batch(tensors, start, size, device))]
            advance(at_once)
            return of_batch

        for number in range(0, len(starts), _TOGETHER):
            yield from shared(made, starts[number : number + _TOGETHER])


def columns(function: Callable[..., Sequence[Tensor]], *tensors: Tensor | Rows | None, **options: Any) -> list[Tensor]:
    """Return each of a function's outputs for the batches of tensors, joined; see `outputs`."""
    return [torch.cat(column) for column in zip(*outputs(function, *tensors, **options), strict=True)]


def in_batches(function: Callable[..., Tensor], *tensors: Tensor | Rows | None, **options: Any) -> Tensor:
    """Return a function's output for the batches of tensors, joined, on the CPU; see `outputs`."""
    return columns(lambda *batch: [function(*batch)], *tensors, **options)[0]


def predictions(classifier: nn.Module, images: Tensor | Rows, device: torch.device, size: int = BATCH) -> Tensor:
    """Return the classes (M,) that a classifier predicts for images (M, C, H, W), on the CPU."""
    return in_batches(lambda batch: predict(classifier, batch), images, device=device, size=size)


def detector_scores(
    detector: nn.Module, images: Tensor | Rows, device: torch.device, explanation: Tensor | Rows | None = None
) -> Tensor:
    """Return a detector's scores (M,) of images (M, C, H, W), on the CPU; see `detectors.scoring.scores`."""

    def scored(batch: Tensor, representation: Tensor | None) -> Tensor:
        return scores(detector, batch, device, explanation=representation)

    return in_batches(scored, images, explanation, device=device)


def under_attack(
    attack: Attack, classifier: nn.Module, images: Tensor | Rows, **options: Any
) -> Iterator[list[Tensor]]:
    """Yield adversarial images by batches, with the classes (n,) predicted before and after; see `outputs`."""

    def made(batch: Tensor) -> list[Tensor]:
        adversarial = attack(classifier, batch)
        return [adversarial, predict(classifier, batch), predict(classifier, adversarial)]

    return outputs(made, images, **options)


def _starts(tensors: Sequence[Tensor | Rows | None], size: int) -> range:
    count = 0 if tensors[0] is None else len(tensors[0])
    return range(0, max(count, 1), size)


def _batch(tensors: Sequence[Tensor | Rows | None], start: int, size: int, device: torch.device) -> tuple[Any, ...]:
    return tuple(None if tensor is None else tensor[start : start + size].to(device) for tensor in tensors)


@contextmanager
def _bar(progress: Progress | None, about: str, count: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that adds a number of finished batches to the progress."""
    if progress is None:
        yield lambda _: None
        return
    bar = progress.add_task(about, total=count)
    try:
        yield lambda done: progress.advance(bar, done)
    finally:
        progress.remove_task(bar)  # a protocol makes hundreds of bars: finished ones would fill the screen
