"""Parts of iterative attacks: the images still under attack, the best points so far, and gradients."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from attacks.errors import InputError
from attacks.norms import column
from attacks.problem import Problem

_STEPS_ON_A_DEVICE = 5
"""Steps between two checks for finished images: a check makes the host wait, and finished images cost passes."""


def steps_between_looks(device: torch.device) -> int:
    """Return the number of steps between two checks for finished images: 1 on the CPU, where a check costs nothing."""
    return 1 if device.type == "cpu" else _STEPS_ON_A_DEVICE


class Left:
    """The images of a problem with which a loop still takes steps.

    Those that are done leave at the next look (`steps_between_looks`). Until then they take steps as well, whose passes
    are counted and which must change nothing of theirs: what a loop writes, it masks by `done`. So results do not
    depend on when it looks. `rows` (n,) are the indices of those that are left at first; None: all.
    """

    def __init__(self, problem: Problem, rows: Tensor | None = None) -> None:
        device = problem.images.device
        self.rows = torch.arange(len(problem), device=device) if rows is None else rows
        self._problem = problem
        self._done = torch.zeros(len(problem), dtype=torch.bool, device=device)
        self._interval = steps_between_looks(device)
        self._steps = 0

    def __len__(self) -> int:
        """Return with how many images steps are taken."""
        return len(self.rows)

    def batches(self) -> Iterator[Tensor]:
        """Split their indices as `Problem.batches` does."""
        return self._problem.batches(self.rows)

    @property
    def looks(self) -> bool:
        """Whether the present step ends with a look, so that the host may wait for a device in it."""
        return (self._steps + 1) % self._interval == 0

    def done(self, rows: Tensor) -> Tensor:
        """Return which of some images (n,) are done, (n,) bool."""
        return self._done[rows]

    def leave(self, rows: Tensor, done: Tensor) -> None:
        """Note that of some images (n,), all different, those marked in `done` (n,) are done; the others stay so."""
        self._done[rows] |= done

    def end_step(self) -> bool:
        """Count a step; return whether it ended with a look, so that all that are done have left."""
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
        """Keep the points (n, C, H, W) of images `rows` that are adversarial (`hit`) and shorter than the best."""
        best = self.lengths[rows]
        better = hit & (lengths < best)
        self.points[rows] = torch.where(column(better), points, self.points[rows])
        self.lengths[rows] = torch.where(better, lengths, best)


def gradients_of(losses: Sequence[Tensor], images: Tensor) -> list[Tensor]:
    """Return the gradient (N, C, H, W) of each loss (N,); zeros where a loss does not depend on the images.

    The losses are of the same pass, whose graph is given up with the last one. Values that are not finite count as 0,
    so that they do not end the walk.

    Raises:
        ValueError: If a detector looks at a gradient of the model, and an operation of this has no second derivative.
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
            f"the detector looks at a gradient of the model that cannot be differentiated again ({error}): attack it "
            "with Square, which needs no gradient, or replace that layer of the model"
        )
        raise InputError(msg) from error
