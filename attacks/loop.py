"""Parts of iterative attacks: the images still under attack, the best points so far, and gradients."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from attacks.errors import InputError
from attacks.norms import column
from attacks.problem import Problem

_STEPS_ON_A_DEVICE = 5
"""Steps between two checks for finished images. A check makes the host wait; finished images cost passes."""


def steps_between_looks(device: torch.device) -> int:
    """Return the number of steps between two checks for finished images: 1 on the CPU, where a check is free."""
    return 1 if device.type == "cpu" else _STEPS_ON_A_DEVICE


class Left:
    """The images of a problem with which a loop still takes steps.

    Images that are done leave at the next check (`steps_between_looks`). Until then they take further steps, whose
    passes are counted. These steps must not change their results: a loop masks its writes by `done`. So results do not
    depend on when it checks. `rows` (n,) are the indices of the images at the start; None: all.
    """

    def __init__(self, problem: Problem, rows: Tensor | None = None) -> None:
        device = problem.images.device
        self.rows = torch.arange(len(problem), device=device) if rows is None else rows
        self._problem = problem
        self._done = torch.zeros(len(problem), dtype=torch.bool, device=device)
        self._interval = steps_between_looks(device)
        self._steps = 0

    def __len__(self) -> int:
        """Return the number of images that still take steps."""
        return len(self.rows)

    def batches(self) -> Iterator[Tensor]:
        """Split their indices as `Problem.batches` does."""
        return self._problem.batches(self.rows)

    @property
    def looks(self) -> bool:
        """Whether this step ends with a check for finished images, so that the host may wait for the device."""
        return (self._steps + 1) % self._interval == 0

    def done(self, rows: Tensor) -> Tensor:
        """Return which of some images (n,) are done, (n,) bool."""
        return self._done[rows]

    def leave(self, rows: Tensor, done: Tensor) -> None:
        """Mark those of some distinct images (n,) that are `done` (n,); marks set before stay."""
        self._done[rows] |= done

    def end_step(self) -> bool:
        """Count a step; return whether it ended with a check, after which all finished images have left."""
        looks = self.looks
        self._steps += 1
        if looks:
            self.rows = self.rows[~self._done[self.rows]]
        return looks


class Shortest:
    """The shortest adversarial image found for each image (N, C, H, W); the image itself until one is found."""

    def __init__(self, images: Tensor) -> None:
        self.points = images.clone()
        self.lengths = images.new_full((len(images),), torch.inf)

    def offer(self, rows: Tensor | slice, points: Tensor, lengths: Tensor, hit: Tensor) -> None:
        """Keep points (n, C, H, W) of images `rows` that are adversarial (`hit`) and nearer than the best so far."""
        best = self.lengths[rows]
        better = hit & (lengths < best)
        self.points[rows] = torch.where(column(better), points, self.points[rows])
        self.lengths[rows] = torch.where(better, lengths, best)


def gradients_of(losses: Sequence[Tensor], images: Tensor) -> list[Tensor]:
    """Return the gradient (N, C, H, W) of each loss (N,); 0 for a loss that does not depend on the images.

    The losses come from the same pass; its graph is freed after the last one. Values that are not finite count as 0, so
    that they do not end the walk.

    Raises:
        ValueError: If a detector uses a gradient of the model, and one of its operations has no second derivative.
    """
    gradients = []
    for number, loss in enumerate(losses, 1):
        gradient: Tensor | None = None
        if loss.requires_grad:
            gradient = _gradient(loss.sum(), images, retain_graph=number < len(losses))
        gradients.append(torch.zeros_like(images) if gradient is None else gradient.nan_to_num(0, 0, 0))
    return gradients


def _gradient(loss: Tensor, images: Tensor, *, retain_graph: bool) -> Tensor | None:
    try:
        return torch.autograd.grad(loss, images, retain_graph=retain_graph, allow_unused=True)[0]
    except RuntimeError as error:
        if "derivative for" not in str(error):
            raise
        msg = (
            f"the detector uses a gradient of the model that cannot be differentiated again ({error}): attack it "
            "with Square, which needs no gradient, or replace that layer of the model"
        )
        raise InputError(msg) from error
