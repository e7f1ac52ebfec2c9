"""The walk that the attacks of minimal norm share: its evaluations, the points it keeps, and its end."""

from abc import abstractmethod
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from math import cos, pi
from typing import NamedTuple, Self

import torch
from torch import Tensor

from attacks.base import Attack
from attacks.checks import above_zero, at_least, below
from attacks.loop import Shortest, gradients_of
from attacks.margin import fooled, log_odds
from attacks.norms import LENGTHS
from attacks.problem import Problem

_LEAST = 0.01
"""The length of the last step relative to the first."""


class Here(NamedTuple):
    """A walk's present points, with their losses and gradients.

    Attributes:
        change: (N, C, H, W), the point minus the image.
        lengths: (N,) sizes of the change, in the attack's norm.
        loss: (N,) the loss to lower.
        reached: (N,) bool, whether the goal is reached.
        gradient: (N, C, H, W) the loss's gradient, 0 outside the region.
        shortest: (N,), the length of the shortest change so far that reached the goal; infinite without any.
    """

    change: Tensor
    lengths: Tensor
    loss: Tensor
    reached: Tensor
    gradient: Tensor
    shortest: Tensor


class _Evaluation(NamedTuple):
    """The loss (N,) at points, whether the goal is reached (N,), and the loss's gradient (N, C, H, W)."""

    loss: Tensor
    reached: Tensor
    gradient: Tensor


class Goal:
    """The goal of fooling the model on a problem's images.

    Args:
        problem: The images under attack, with their model and labels.
        targeted: Whether the problem's labels are targets.
        stands: A function of logits (N, K) and labels (N,); returns the loss (N,), the label's lead or its log-odds.
    """

    def __init__(
        self, problem: Problem, *, targeted: bool, stands: Callable[[Tensor, Tensor], Tensor] = log_odds
    ) -> None:
        self.problem = problem
        self.targeted = targeted
        self._stands = stands

    def look(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss (N,) at points (N, C, H, W), and whether the goal is reached (N,)."""
        return self.stand(self.problem.model(points))

    def stand(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss (N,) of logits (N, K), and whether the model is fooled (N,)."""
        labels = self.problem.labels
        value = self._stands(logits, labels)
        return -value if self.targeted else value, fooled(logits.detach(), labels, targeted=self.targeted)

    def of(self, rows: Tensor) -> Self:
        """Return the goal on some of the images, by their indices (n,)."""
        part = copy(self)
        part.problem = self.problem[rows]
        return part


@dataclass(frozen=True, kw_only=True)
class MinimalNorm(Attack):
    """A walk within a radius that shrinks while the goal is reached, and grows while it is not.

    Returned is the adversarial image with the smallest perturbation, the last point included, or the image itself if
    there is none. An image that reaches the goal unchanged takes no step.

    Args:
        steps: Number of steps, at least 1.
        gamma: Share by which the radius changes, above 0 and below 1.
    """

    steps: int = 100
    gamma: float = 0.05

    def __post_init__(self) -> None:
        at_least(1, steps=self.steps)
        above_zero(gamma=self.gamma)
        below(1, gamma=self.gamma)

    def goal(self, problem: Problem) -> Goal:
        """Return what the walk asks at its points."""
        return Goal(problem, targeted=self.targeted)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        return torch.cat([self._shortest(part).points for part in problem.chunks()])

    def _shortest(self, problem: Problem) -> Shortest:
        """Return the shortest adversarial images of a problem; images already at the goal take no step."""
        goal, points, found = self.goal(problem), problem.images.detach().requires_grad_(), Shortest(problem.images)
        loss, reached = goal.look(points)
        found.offer(slice(None), points.detach(), torch.zeros_like(found.lengths), reached)
        rows = (~reached).nonzero().flatten()
        if len(rows):
            (gradient,) = gradients_of([loss], points)
            part = self._walk(goal.of(rows), _Evaluation(loss.detach()[rows], reached[rows], gradient[rows]))
            found.offer(rows, part.points, part.lengths, part.lengths.isfinite())
        return found

    def _walk(self, goal: Goal, seen: _Evaluation) -> Shortest:
        """Return the shortest adversarial images of a goal that none has reached yet; `seen` is their evaluation."""
        images = goal.problem.images
        found, change, radii = Shortest(images), torch.zeros_like(images), self._radii(images)
        lengths = torch.zeros_like(radii)
        for step in range(self.steps):
            gradient = goal.problem.within_region(seen.gradient)
            here = Here(change, lengths, seen.loss, seen.reached, gradient, found.lengths)
            points, radii = self._move(step, goal, here, radii)
            seen = _evaluate(goal, points, last=step + 1 == self.steps)
            change = points - images
            lengths = LENGTHS[self.norm_family or "l2"](change)
            found.offer(slice(None), points, lengths, seen.reached)
        return found

    @abstractmethod
    def _radii(self, images: Tensor) -> Tensor:
        """Return the first radii (N,) around images (N, C, H, W)."""

    @abstractmethod
    def _move(self, step: int, goal: Goal, here: Here, radii: Tensor) -> tuple[Tensor, Tensor]:
        """Return the next points (N, C, H, W) in [0, 1], detached, and the next radii (N,)."""

    def _length(self, step: int) -> float:
        """Return the length of a step (counted from 0) relative to the first."""
        return annealed(1, _LEAST, step / self.steps)


def _evaluate(goal: Goal, points: Tensor, *, last: bool) -> _Evaluation:
    """Return loss, success and gradient at points; the last points need no gradient."""
    asked = points.detach().requires_grad_(not last)
    loss, reached = goal.look(asked)
    return _Evaluation(loss.detach(), reached, points if last else gradients_of([loss], asked)[0])


def annealed(first: float, last: float, share: float) -> float:
    """Return the value between `first` and `last` on a cosine schedule, at a share of the way in [0, 1]."""
    return last + (first - last) * (1 + cos(pi * share)) / 2
