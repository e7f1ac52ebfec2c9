"""The attack of minimal L2 norm that decouples the direction of the perturbation from its length."""

from dataclasses import dataclass
from math import cos, pi

import torch
from torch import Tensor

from attacks.base import Attack
from attacks.checks import above_zero, at_least, below
from attacks.loop import gradients_of
from attacks.margin import fooled, log_odds
from attacks.norms import column, l2, unit
from attacks.problem import Problem

_LEAST = 0.01
"""The length of the last step; the first one's is 1."""


@dataclass(frozen=True, kw_only=True)
class DDN(Attack):
    r"""Walk on a sphere around the image that shrinks by a share where the goal is reached, and grows where it is not.

    The direction follows the gradient in steps of fixed length, 1 at first and .01 at last by a cosine; the point is
    drawn to the sphere and cut to [0, 1]. The shortest adversarial image met is returned; without any, the image
    itself.

    Args:
        steps: Number of steps, at least 1.
        gamma: Share by which the radius changes with each step, above 0 and below 1.
        initial_norm: The first radius, above 0, in units of the image range.

    Reference: Rony et al., "Decoupling Direction and Norm for Efficient Gradient-Based L2 Adversarial Attacks and
    Defenses", arXiv 1811.09600, algorithm 1.

    Differences: The loss is the log-odds of the label: their gradient has the direction of the cross entropy's, which
    is all that counts here, and does not vanish where the softmax saturates. No quantisation on the way; the last point
    counts.
    """

    norm_family = "l2"
    steps: int = 100
    gamma: float = 0.05
    initial_norm: float = 1.0

    def __post_init__(self) -> None:
        at_least(1, steps=self.steps)
        above_zero(gamma=self.gamma, initial_norm=self.initial_norm)
        below(1, gamma=self.gamma)

    def goal(self, problem: Problem) -> "Goal":
        """Return what the walk asks at its points."""
        return Goal(problem, targeted=self.targeted)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        return torch.cat([self._walk(part) for part in problem.chunks()])

    def _walk(self, problem: Problem) -> Tensor:
        goal = self.goal(problem)
        points, best = problem.images, problem.images.clone()
        radius = torch.full_like(points[:, 0, 0, 0], self.initial_norm)
        shortest = torch.full_like(radius, torch.inf)
        for step in range(self.steps + 1):
            last = step == self.steps
            points = points.detach().requires_grad_(not last)
            loss, reached = goal.look(points)
            change = points.detach() - problem.images
            length = l2(change)
            better = reached & (length < shortest)
            best = torch.where(column(better), points.detach(), best)
            shortest = torch.where(better, length, shortest)
            if last or (step == 0 and not shortest.any()):  # images that need no change have no shorter one
                break
            (gradient,) = gradients_of([loss], points)
            change = change - self._length(step) * unit(problem.within_region(gradient))
            radius = torch.where(reached, (1 - self.gamma) * radius, (1 + self.gamma) * radius)
            points = (problem.images + column(radius) * unit(change)).clamp(0, 1)
        return best

    def _length(self, step: int) -> float:
        return _LEAST + (1 - _LEAST) * (1 + cos(pi * step / self.steps)) / 2


class Goal:
    """To fool the model on a problem's images."""

    def __init__(self, problem: Problem, *, targeted: bool) -> None:
        self.problem = problem
        self.targeted = targeted

    def look(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is to be lowered (N,), and whether the goal is reached (N,), at points (N, C, H, W)."""
        return self.stand(self.problem.model(points))

    def stand(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return by how much the model withstands (N,), and whether it is fooled (N,), of logits (N, K)."""
        labels = self.problem.labels
        odds = log_odds(logits, labels)
        return -odds if self.targeted else odds, fooled(logits.detach(), labels, targeted=self.targeted)
