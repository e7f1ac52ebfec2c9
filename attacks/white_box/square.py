"""The gradient-free control: a random search over squares, which no masked gradient misleads."""

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Generator, Tensor

from attacks.base import Attack, MostPasses
from attacks.checks import above_zero, at_least, at_most, lengths, one_of
from attacks.loop import Left
from attacks.norms import NORMS, Ball
from attacks.problem import Problem, drawn
from attacks.white_box import windows
from attacks.white_box.walk import Kept

_HALVED_AT = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""After which parts of the queries the squares' share of the image is halved."""

_PLACES = 2
"""The numbers that place a square in L-inf."""


@dataclass(frozen=True, kw_only=True)
class Square(Attack):
    r"""Random search on model and detector together: a square of pixels changes, and worse points are undone.

    The point is the next one unless it is worse: misclassified is better than not; among misclassified points the lower
    score, among others the nearer to being misclassified. Equally good points are taken, so that a detector of few
    scores is crossed. Kept is the best point, the image included. No gradient is asked for.

    L-inf: the search begins with vertical stripes, each :math:`\pm\epsilon` in each channel. A query sets a square at a
    random place to :math:`x \pm \epsilon`, one sign per channel.

    L2: the search begins with tiles of a pattern :math:`\eta` of length 1, a bump beside a hollow, scaled to
    :math:`\epsilon`. A query draws two squares of the change :math:`\nu`. In each channel the second one becomes 0, and
    the first one :math:`\rho \eta + \nu / \lVert \nu \rVert`, scaled to the length of both together and a channel's
    share of what is left of the budget; :math:`\rho` is 1 or -1.

    Args:
        epsilon: Budget, at least 0, in the norm chosen (L-inf: at most 1).
        queries: Most passes of each image, at least 2: the image, the first change, then squares.
        share: The squares' share of the image at first, in (0, 1]; halved nine times on the way. In L2 a side is odd,
            and at least three pixels where the image has them.
        norm: "linf" or "l2".
        on_system: Whether the detector's score counts; the detector must then be passed. Otherwise an image leaves as
            soon as it is misclassified.

    Reference: Andriushchenko et al., "Square Attack: a query-efficient black-box adversarial attack via random search",
    arXiv 1912.00049, algorithms 1 to 3, sections 3.3 and 3.4; the share and its schedule are those of AutoAttack, arXiv
    2003.01690, stretched to the number of queries.
    """

    epsilon: float = 0.3
    queries: int = 1000
    share: float = 0.8
    norm: Literal["linf", "l2"] = "linf"
    on_system: bool = True

    def __post_init__(self) -> None:
        one_of(NORMS, norm=self.norm)
        object.__setattr__(self, "norm_family", self.norm)
        object.__setattr__(self, "needs_detector", self.on_system)
        lengths(self.norm, epsilon=self.epsilon)
        at_least(2, queries=self.queries)
        above_zero(share=self.share)
        at_most(1, share=self.share)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        return torch.cat([self._search(part) for part in problem.chunks()])

    def most_passes(self, classes: int) -> MostPasses:  # noqa: ARG002 - the interface
        """Return the most passes for an image; see `Attack.most_passes`."""
        return MostPasses(self.queries, 0)

    @torch.no_grad()
    def _search(self, problem: Problem) -> Tensor:
        best = Kept(problem, targeted=self.targeted)
        walk = Kept(problem, targeted=self.targeted, ties=True)
        generators = problem.generators()
        starts = problem.images, self._first(problem, generators)
        numbers = self._numbers(problem, generators)
        left = Left(problem)
        for query in range(self.queries):
            rows = slice(None) if self.on_system else left.rows
            part = problem[rows]
            if len(part) == 0:
                break
            if query < len(starts):
                points = starts[query][rows]
            else:
                points = self._next(part, walk.points[rows], query, numbers[rows, query - len(starts)])
            self._offer(part, points, rows, *([best, walk] if query else [best]))  # the walk begins at the first change
            if not self.on_system:
                left.leave(left.rows, best.fooled[rows])
                left.end_step()
        return best.points

    def _offer(self, part: Problem, points: Tensor, rows: Any, *every: Kept) -> None:
        """Ask the networks about points (n, C, H, W) of some images, and offer these to what is kept of all."""
        asked = part.joint(points) if self.on_system else (part.model(points), torch.zeros_like(points[:, 0, 0, 0]))
        for kept in every:
            some = kept.of(rows)
            some.offer(points, *asked)
            kept.put(rows, some)

    def _first(self, problem: Problem, generators: list[Generator]) -> Tensor:
        """Return the first points (N, C, H, W) beside the images."""
        images = problem.images
        if self.norm == "l2":
            change = windows.tiled(problem, generators, self.epsilon)
            return Ball(self.epsilon, "l2").project(images + change, images)
        stripes = drawn(generators, images.shape[1], 1, images.shape[3], dtype=torch.float64).to(images.device)
        return self._corner(problem, windows.signs(stripes))

    def _numbers(self, problem: Problem, generators: list[Generator]) -> Tensor:
        """Return the numbers (N, queries, k) of all later points at once: one loop over the images."""
        places = windows.DRAWS if self.norm == "l2" else _PLACES
        shape = self.queries - 2, places + problem.images.shape[1]
        return drawn(generators, *shape, dtype=torch.float64).to(problem.images.device)

    def _next(self, problem: Problem, points: Tensor, query: int, numbers: Tensor) -> Tensor:
        """Return the points (n, C, H, W) to ask for next, from the best ones."""
        images = problem.images
        side = self._side(query, *images.shape[2:])
        if self.norm == "l2":
            change = windows.moved(problem, points - images, self.epsilon, side, numbers)
            return Ball(self.epsilon, "l2").project(images + change, images)
        rows, columns = (
            _covered(places, side, length)
            for places, length in zip(numbers[:, :_PLACES].T, images.shape[2:], strict=True)
        )
        chosen = rows[:, None, :, None] & columns[:, None, None, :]
        return torch.where(chosen, self._corner(problem, windows.signs(numbers[:, _PLACES:, None, None])), points)

    def _corner(self, problem: Problem, signs: Tensor) -> Tensor:
        """Return the corners (n, C, H, W) of the L-inf balls at signs that broadcast to that shape."""
        change = (self.epsilon * signs.to(problem.images)).expand_as(problem.images)
        return (problem.images + problem.within_region(change)).clamp(0, 1)

    def _side(self, query: int, height: int, width: int) -> int:
        """Return the side of a query's squares in pixels."""
        share = self.share / 2 ** bisect_left(_HALVED_AT, query / self.queries)
        side = round(math.sqrt(share * height * width))
        return min(max(side, windows.SMALLEST) | 1 if self.norm == "l2" else max(side, 1), height, width)


def _covered(places: Tensor, side: int, length: int) -> Tensor:
    """Return which of `length` pixels (N, length) a square covers, at places (N,) in [0, 1)."""
    covered = torch.zeros(len(places), length, dtype=torch.bool, device=places.device)
    return covered.scatter(1, windows.pixels(places, side, length), value=True)
