"""Walks along the gradients of a model and a detector inside a ball: restarts, and the best point of all."""

import math
from abc import abstractmethod
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Generator, Tensor

from attacks.base import Attack, MostPasses
from attacks.checks import at_least, lengths, one_of
from attacks.margin import ahead, fooled, nearest_classes
from attacks.norms import NORMS, Ball, column
from attacks.problem import Problem

SCHEDULES = ("constant", "cosine")

_REACH = 2.5
"""Length of all steps together at least, in epsilons, if none of them were shortened."""


class Kept:
    """The best point of each image: misclassified with the lowest score; before that, nearest to being misclassified.

    It serves every false-positive rate, so that success at 5 %, at 50 % and the ROC are about one image. A score or
    lead of NaN is worse than any other.

    Args:
        problem: Whose images are attacked.
        ties: Whether a point that is as good as the one kept takes its place: a walk that crosses plateaus.
        final: Whether an accepted point keeps its place.
    """

    def __init__(self, problem: Problem, *, targeted: bool, ties: bool = False, final: bool = False) -> None:
        self.points = problem.images.clone()
        self._labels = problem.labels
        self._targeted = targeted
        self._ties = ties
        self._final = final
        self.fooled = torch.zeros_like(problem.labels, dtype=torch.bool)
        self.value = torch.full_like(problem.images[:, 0, 0, 0], -torch.inf)

    def offer(self, points: Tensor, logits: Tensor, scores: Tensor) -> Tensor:
        """Keep points (N, C, H, W) that are better than what is kept; return which of them fool the model, (N,) bool.

        Args:
            points: Those met.
            logits: (N, K), the model's on them.
            scores: (N,), the detector's.
        """
        points, logits, scores = points.detach(), logits.detach(), scores.detach()
        hit = fooled(logits, self._labels, targeted=self._targeted)
        value = torch.where(hit, -scores, ahead(logits, self._labels, targeted=self._targeted))
        value = value.masked_fill(value.isnan(), -torch.inf)
        lead = value >= self.value if self._ties else value > self.value
        better = (hit & ~self.fooled) | ((hit == self.fooled) & lead)
        if self._final:
            better &= ~self.accepted
        self.points = torch.where(column(better), points, self.points)
        self.value = torch.where(better, value, self.value)
        self.fooled |= better & hit
        return hit

    @property
    def accepted(self) -> Tensor:
        """(N,) bool, which images are misclassified with a score that is not above 0."""
        return self.fooled & (self.value >= 0)

    def of(self, rows: Tensor) -> "Kept":
        """Return what is kept of some images, by their indices (n,)."""
        part = copy(self)
        part.points, part.fooled, part.value = self.points[rows], self.fooled[rows], self.value[rows]
        part._labels = self._labels[rows]  # noqa: SLF001 - its own
        return part

    def put(self, rows: Tensor, part: "Kept") -> None:
        """Take over what is kept of some images, by their indices (n,)."""
        self.points[rows], self.fooled[rows], self.value[rows] = part.points, part.fooled, part.value


class Look(NamedTuple):
    """What a walk sees at points (N, C, H, W): logits (N, K), the detector's suspicion (N,), and who is fooled (N,)."""

    points: Tensor
    logits: Tensor
    suspicion: Tensor
    hit: Tensor


@dataclass(frozen=True, kw_only=True)
class Walk(Attack):
    """Steps, restarts, goals and the ball; a subclass says which way a step goes, and how its walks differ.

    Args:
        epsilon: Budget, at least 0, in the norm chosen (L-inf: at most 1).
        step_size: Length of the first step in that norm; None: a tenth of epsilon, or more if steps are few.
        steps: Number of steps of a walk, at least 1.
        restarts: How often to start, at least once; the first time at the image, then at random points.
        norm: "linf" or "l2".
        schedule: "constant" (the papers'), or "cosine": steps shorten to none along half a cosine, which finds lower
            scores at the same cost.
        goals: So many classes, those of the largest logits on the clean image beside the label, are walked to in turn
            from each start, after the walks with no goal but to leave the label. Only images that are not yet
            misclassified and accepted take part, so that with goals the result is for the threshold aimed at. Targeted
            attacks have their target only.
    """

    needs_detector = True
    _first_step: ClassVar[float] = 0.1
    """In epsilons, where the size of the steps is not given."""
    _gradients: ClassVar[int] = 1
    """Backward passes of a step."""
    epsilon: float = 0.3
    step_size: float | None = None
    steps: int = 100
    restarts: int = 1
    norm: Literal["linf", "l2"] = "linf"
    schedule: Literal["constant", "cosine"] = "cosine"
    goals: int = 0

    def __post_init__(self) -> None:
        one_of(NORMS, norm=self.norm)
        object.__setattr__(self, "norm_family", self.norm)
        one_of(SCHEDULES, schedule=self.schedule)
        at_least(1, steps=self.steps, restarts=self.restarts)
        at_least(0, whole=True, goals=self.goals)
        lengths(self.norm, epsilon=self.epsilon, step_size=0 if self.step_size is None else self.step_size)

    def length(self, step: int) -> float:
        """Return the length of a step, counted from 0.

        Unless given, the first is a tenth of epsilon, or, of few steps, so long that together they reach the boundary.
        """
        shortest = max(self._first_step * self.epsilon, _REACH * self.epsilon / self.steps)
        first = shortest if self.step_size is None else self.step_size
        return first if self.schedule == "constant" else first * (1 + math.cos(math.pi * step / self.steps)) / 2

    @property
    def ball(self) -> Ball:
        """Where points stay."""
        return Ball(self.epsilon, self.norm)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        return torch.cat([self._best(part) for part in problem.chunks()])

    def most_passes(self, classes: int) -> MostPasses:
        """Return the most passes for an image; see `Attack.most_passes`."""
        goals = 0 if self.targeted else min(self.goals, classes - 1)
        walks = self.restarts * (1 + goals) * self._ways
        return MostPasses(walks * (self.steps + 1) + min(goals, 1), walks * self.steps * self._gradients)

    @property
    def _ways(self) -> int:
        """How many walks there are from a start to a goal."""
        return 1

    def _best(self, problem: Problem) -> Tensor:
        kept = Kept(problem, targeted=self.targeted)
        generators = problem.generators() if self._is_random() else []
        goals = [] if self.targeted or self.goals == 0 else nearest_classes(problem, self.goals)
        for restart in range(self.restarts):
            start = problem.images if restart == 0 else self.ball.random(problem, generators)
            self._walks(problem, start, kept, generators)
            for goal in goals:
                self._walks_to(goal, problem, start, kept, generators)
        return kept.points

    def _walks_to(self, goal: Tensor, problem: Problem, start: Tensor, kept: Kept, generators: list[Generator]) -> None:
        """Walk to a class (N,) with the images that are not won yet; any misclassified point counts."""
        rows = (~kept.accepted).nonzero().flatten()
        if len(rows):
            part, aimed = kept.of(rows), replace(problem[rows], labels=goal[rows])
            own = [generators[row] for row in rows] if generators else []
            replace(self, targeted=True)._walks(aimed, start[rows], part, own)  # noqa: SLF001 - its own
            kept.put(rows, part)

    def _is_random(self) -> bool:
        return self.restarts > 1

    @abstractmethod
    def _walks(self, problem: Problem, start: Tensor, kept: Kept, generators: list[Generator]) -> None:
        """Walk from a start (N, C, H, W), once for each way."""

    def _walk(self, problem: Problem, points: Tensor, kept: Kept, way: Any) -> Tensor:
        """Walk, offer every point, and return which images (N,) some point had misclassified.

        `way` is what differs between the walks of an attack, such as a weight.
        """
        fooled = torch.zeros_like(kept.fooled)
        for number in range(self.steps):
            points = points.detach().requires_grad_()
            logits, scores, suspicion = self._ask(problem, points, way)
            hit = kept.offer(points, logits, scores)
            fooled |= hit
            direction = self._direction(problem, Look(points, logits, suspicion, hit), way)
            points = self.ball.project(points.detach() - self.length(number) * direction, problem.images)
        with torch.no_grad():
            return fooled | kept.offer(points, *problem.joint(points))

    def _ask(self, problem: Problem, points: Tensor, way: Any) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG002
        """Return logits (N, K), scores (N,), and what is to be lowered of the detector (N,)."""
        logits, scores = problem.joint(points)
        return logits, scores, scores

    @abstractmethod
    def _direction(self, problem: Problem, look: Look, way: Any) -> Tensor:
        """Return the direction (N, C, H, W) to step against, at most 1 long in the norm."""

    def _steepest(self, problem: Problem, gradient: Tensor) -> Tensor:
        """Return the direction (N, C, H, W) of a gradient in the norm and the region."""
        return self.ball.direction(problem.within_region(gradient))
