"""An attack that sees decisions only: it walks along the boundary, towards the image."""

from dataclasses import dataclass
from math import ceil, log2, sqrt
from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional

from attacks import norms
from attacks.base import Attack, MostPasses
from attacks.checks import at_least, given, lengths, one_of
from attacks.margin import fooled
from attacks.norms import NORMS, Ball, column
from attacks.problem import Problem, drawn

_GROUP = 16
"""Directions drawn at a time: a fixed number, so that an image's draws do not depend on the number of images."""
_HALVINGS = 10
"""The number of step lengths tried, each half of the one before."""
_FIRST_RADIUS = 0.1
"""L2 length of the random changes of the first estimate, as in the authors' code."""
_BLENDS = (0.25, 0.5, 0.75)
"""The shares of noise in the starting images that blend noise and image."""
_BLENDED = 4
"""The number of noise images blended with the image."""


@dataclass(frozen=True, kw_only=True)
class HopSkipJump(Attack):
    r"""HopSkipJump: bisect to the boundary, step along its estimated normal, and bisect again.

    At a boundary point :math:`x_t` at distance :math:`d_t` from the image, it queries :math:`B \sqrt t` random changes
    of L2 length :math:`d_t / m` (m the number of values). The estimate of the normal is the mean of their directions,
    each weighted by its decision (1 or -1) minus the mean decision. A step along the normal has length :math:`d_t /
    \sqrt t`, halved until the point stays beyond the boundary. Bisection between this point and the image gives the
    next boundary point.

    The attack sees only the decision: whether the model is fooled and, with `on_system`, whether the detector accepts.
    So a detector may have no gradient, or only two scores. The candidates for the start are the image mirrored, turned,
    shifted, blurred, negated or darkened, constant images, noise, and blends of noise and image; the nearest one that
    wins is taken. If none wins, or the nearest point found lies outside the budget, the image is returned. An image
    leaves as soon as its point lies inside the budget.

    Args:
        epsilon: Budget, at least 0, in the norm chosen (L-inf: at most 1); None: as near as the queries allow.
        queries: Largest number of passes for an image, at least 100.
        norm: "l2" or "linf".
        evaluations: B, the number of queries for the first estimate, at least 1.
        on_system: Whether the detector must accept the image as well; the detector must then be passed.

    Reference: Chen, Jordan & Wainwright, "HopSkipJumpAttack: A Query-Efficient Decision-Based Attack", arXiv
    1904.02144, algorithm 2.

    Differences: The paper starts from noise. A step is halved at most nine times; its ten lengths are queried together.
    """

    epsilon: float | None = None
    queries: int = 1000
    norm: Literal["l2", "linf"] = "l2"
    evaluations: int = 100
    on_system: bool = False

    def __post_init__(self) -> None:
        one_of(NORMS, norm=self.norm)
        object.__setattr__(self, "norm_family", self.norm)
        object.__setattr__(self, "needs_detector", self.on_system)
        lengths(self.norm, **given(epsilon=self.epsilon))
        at_least(100, queries=self.queries)
        at_least(1, evaluations=self.evaluations)

    @torch.no_grad()
    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        return torch.cat([self._search(part) for part in problem.chunks()])

    def most_passes(self, classes: int) -> MostPasses:  # noqa: ARG002 - the interface
        """Return the most passes for an image; see `Attack.most_passes`."""
        return MostPasses(self.queries, 0)

    def _search(self, problem: Problem) -> Tensor:
        generators = problem.generators()
        points, won = self._start(problem, generators)
        best, shortest = points.clone(), torch.where(won, self._length(points - problem.images), torch.inf)
        rows = (won & (shortest > self._enough)).nonzero().flatten()
        for number, count in enumerate(self._plan(problem.images[0])):
            if len(rows) == 0:
                break
            part, drawing = problem[rows], [generators[row] for row in rows.tolist()]
            points = self._stepped(part, points, drawing, number, count) if number else points[rows]
            points = self._boundary(part, points)
            distance = self._length(points - part.images)
            nearer = distance < shortest[rows]
            best[rows] = torch.where(column(nearer), points, best[rows])
            shortest[rows] = torch.where(nearer, distance, shortest[rows])
            stay = shortest[rows] > self._enough
            rows, points = rows[stay], points[stay]
        inside = shortest <= (torch.inf if self.epsilon is None else self.epsilon)
        return torch.where(column(inside & won), best, problem.images)

    @property
    def _enough(self) -> float:
        """The distance at which the search for nearer points ends."""
        return self.epsilon or 0.0

    def _plan(self, image: Tensor) -> list[int]:
        """Return the number of queries for each round's estimate; the first round has none."""
        bisection = self._bisections(image.numel())
        left = self.queries - _starts(image) - bisection
        counts = [0]
        while (rest := left - _HALVINGS - bisection) > 0:
            counts.append(min(int(self.evaluations * sqrt(len(counts))), rest))
            left -= counts[-1] + _HALVINGS + bisection
        return counts

    def _bisections(self, values: int) -> int:
        """Return the number of bisections that reach the paper's tolerance; in L-inf at most single precision."""
        return min(ceil(log2(values) * (1.5 if self.norm == "l2" else 2)), 20)

    def _length(self, change: Tensor) -> Tensor:
        return norms.l2(change) if self.norm == "l2" else norms.linf(change)

    def _start(self, problem: Problem, generators: list[Generator]) -> tuple[Tensor, Tensor]:
        """Return the nearest starting images that win, (N, C, H, W), and whether there is one, (N,) bool."""
        tried = _candidates(problem, generators)
        distances = torch.stack([self._length(points - problem.images) for points in tried.unbind(1)], 1)
        nearest = torch.where(self._wins(problem, tried), distances, torch.inf).min(1)
        return tried[torch.arange(len(tried), device=tried.device), nearest.indices], nearest.values.isfinite()

    def _stepped(
        self, problem: Problem, points: Tensor, generators: list[Generator], number: int, count: int
    ) -> Tensor:
        """Return winning points (n, C, H, W), a step along the boundary's normal from boundary points."""
        distance = self._length(points - problem.images)
        radius = torch.full_like(distance, _FIRST_RADIUS) if number == 1 else distance / points[0].numel()
        normal = self._normal(problem, points, generators, column(radius), count)
        direction = Ball(1.0, self.norm).direction(normal)
        halves = 0.5 ** torch.arange(_HALVINGS, device=points.device, dtype=points.dtype)
        sizes = (distance / sqrt(number))[:, None] * halves
        tried = (points[:, None] + sizes[:, :, None, None, None] * direction[:, None]).clamp(0, 1)
        wins = self._wins(problem, tried)
        longest = wins.to(torch.uint8).argmax(1)  # the first that wins
        moved = tried[torch.arange(len(tried), device=tried.device), longest]
        return torch.where(column(wins.any(1)), moved, points)

    def _normal(
        self, problem: Problem, points: Tensor, generators: list[Generator], radius: Tensor, count: int
    ) -> Tensor:
        """Return the boundary's normal (n, C, H, W), estimated from `count` queries."""
        total, turned = torch.zeros_like(points), torch.zeros_like(points)
        decisions = torch.zeros_like(radius)
        for first in range(0, count, _GROUP):
            directions = self._directions(problem, generators)[:, : count - first]
            asked = (points[:, None] + radius[:, None] * directions).clamp(0, 1)
            taken = (asked - points[:, None]) / radius[:, None]
            decided = 2 * self._wins(problem, asked).to(points.dtype) - 1
            decisions += column(decided.sum(1))
            total += taken.sum(1)
            turned += (decided[:, :, None, None, None] * taken).sum(1)
        mean = decisions / count
        return problem.within_region(torch.where(mean.abs() == 1, turned, turned - mean * total))

    def _directions(self, problem: Problem, generators: list[Generator]) -> Tensor:
        """Return random directions (n, `_GROUP`, C, H, W) of L2 length 1."""
        like = problem.images
        draw = torch.randn if self.norm == "l2" else torch.rand
        made = drawn(generators, _GROUP, *like.shape[1:], dtype=like.dtype, draw=draw).to(like.device)
        made = made if self.norm == "l2" else 2 * made - 1
        if problem.region is not None:
            made = made * problem.region[:, None]
        return functional.normalize(made.flatten(2), dim=2).view_as(made)

    def _boundary(self, problem: Problem, points: Tensor) -> Tensor:
        """Return the boundary points (n, C, H, W) between winning points and their images; they win themselves."""
        images = problem.images
        high = torch.ones_like(images[:, 0, 0, 0])
        low = torch.zeros_like(high)
        farthest = column(norms.linf(points - images))

        def at(share: Tensor) -> Tensor:
            if self.norm == "l2":
                return torch.where(column(share == 1), points, images + column(share) * (points - images))
            reach = column(share) * farthest
            return torch.minimum(torch.maximum(points, images - reach), images + reach)

        for _ in range(self._bisections(images[0].numel())):
            middle = (low + high) / 2
            wins = self._wins(problem, at(middle)[:, None]).squeeze(1)
            low, high = torch.where(wins, low, middle), torch.where(wins, middle, high)
        return at(high)

    def _wins(self, problem: Problem, points: Tensor) -> Tensor:
        """Return which points (n, k, C, H, W) win, (n, k) bool. The attack asks the networks nothing else."""
        width = max(1, problem.together() // len(problem))
        return torch.cat([self._decided(problem, some) for some in torch.split(points, width, 1)], 1)

    def _decided(self, problem: Problem, points: Tensor) -> Tensor:
        labels = problem.labels[:, None].expand(points.shape[:2]).flatten()
        asked = points.flatten(0, 1)
        if not self.on_system:
            return fooled(problem.model(asked), labels, targeted=self.targeted).view(points.shape[:2])
        logits, scores = problem.joint(asked)
        return (fooled(logits, labels, targeted=self.targeted) & (scores <= 0)).view(points.shape[:2])


def _changed(images: Tensor) -> list[Tensor]:
    """Return images (N, C, H, W) that the model may classify otherwise: mirrored, turned, shifted and so on."""
    height, width = images.shape[2:]
    shifts = [(height // 4, 0), (-(height // 4), 0), (0, width // 4), (0, -(width // 4))]
    turned = [images.rot90(turns, (2, 3)) for turns in (1, 3)] if height == width else []
    blurred = [functional.avg_pool2d(images, size, 1, size // 2, count_include_pad=False) for size in (3, 5)]
    constant = [torch.full_like(images, value) for value in (0.0, 0.5, 1.0)]
    mirrored = [images.flip(sides) for sides in ((2,), (3,), (2, 3))]
    shifted = [images.roll(by, (2, 3)) for by in shifts]
    return [images, *mirrored, *turned, *shifted, *blurred, *constant, 1 - images, images / 2, (1 + images) / 2]


def _candidates(problem: Problem, generators: list[Generator]) -> Tensor:
    """Return starting images (N, k, C, H, W), the image itself first; they differ only inside the region."""
    images = problem.images
    noise = drawn(generators, _GROUP, *images.shape[1:], dtype=images.dtype).to(images.device)
    blends = [images[:, None] + share * (noise[:, :_BLENDED] - images[:, None]) for share in _BLENDS]
    tried = torch.cat([torch.stack(_changed(images), 1), noise, *blends], 1)
    if problem.region is None:
        return tried
    return torch.where(problem.region[:, None], tried, images[:, None])


def _starts(image: Tensor) -> int:
    """Return the number of starting images that are tried for an image (C, H, W)."""
    return len(_changed(image[None])) + _GROUP + _BLENDED * len(_BLENDS)
