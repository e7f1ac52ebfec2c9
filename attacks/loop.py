"""What loops over steps share: which images are still under attack, and the best met so far."""

from collections.abc import Iterator

import torch
from torch import Tensor

from attacks.problem import Problem

_STEPS_ON_A_DEVICE = 5
"""Steps from one look at who is done to the next: fewer make the host wait more often, more are passes for nothing."""


def steps_between_looks(device: torch.device) -> int:
    """Return after how many steps of a loop the images that are done leave it.

    To know who is done, the host must wait for a device, which stands still meanwhile; the CPU itself is the host.
    """
    return 1 if device.type == "cpu" else _STEPS_ON_A_DEVICE


class Left:
    """The images of a problem with which a loop still takes steps.

    Those that are done leave at the next look (`steps_between_looks`). Until then they take steps as well, whose passes
    are counted and which must change nothing of theirs: what a loop writes, it masks by `done`. So results do not
    depend on when it looks.

    Args:
        problem: Whose images they are.
        rows: (n,), indices of those that are left at first; None: all.
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
    """The shortest adversarial image met of each image; the image itself before one was met.

    Args:
        images: (N, C, H, W).
    """

    def __init__(self, images: Tensor) -> None:
        self.points = images.clone()
        self.lengths = images.new_full((len(images),), torch.inf)

    def offer(self, rows: Tensor, points: Tensor, lengths: Tensor, hit: Tensor) -> None:
        """Keep what is adversarial and shorter than what was met so far.

        Args:
            rows: (n,), the images that are meant, all different.
            points: (n, C, H, W).
            lengths: (n,) of their changes.
            hit: (n,) bool, whether they are adversarial.
        """
        known = self.lengths[rows]
        better = hit & (lengths < known)
        self.points[rows] = torch.where(column(better), points, self.points[rows])
        self.lengths[rows] = torch.where(better, lengths, known)


def column(values: Tensor) -> Tensor:
    """Return one value per image (N,) as (N, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)
