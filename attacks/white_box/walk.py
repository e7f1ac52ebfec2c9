"""Walks along the gradients of a model and a detector inside a ball: restarts, and the best point of all."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from attacks.ball import NORMS, Ball
from attacks.base import Attack
from attacks.checks import at_least, lengths, one_of
from attacks.problem import Problem
from attacks.white_box.kept import Kept

SCHEDULES = ("constant", "cosine")

_REACH = 2.5
"""Length of all steps together at least, in epsilons, if none of them were shortened."""


@dataclass(frozen=True, kw_only=True)
class Walk(Attack):
    """Steps, restarts and the ball; a subclass says which way a step goes, and what differs between its walks."""

    needs_detector = True

    epsilon: float = 0.3
    step_size: float | None = None
    steps: int = 100
    restarts: int = 1
    norm: Literal["linf", "l2"] = "linf"
    schedule: Literal["constant", "cosine"] = "cosine"

    def __post_init__(self) -> None:
        one_of(NORMS, norm=self.norm)
        object.__setattr__(self, "norm_family", self.norm)
        one_of(SCHEDULES, schedule=self.schedule)
        at_least(1, steps=self.steps, restarts=self.restarts)
        lengths(self.norm, epsilon=self.epsilon, step_size=0 if self.step_size is None else self.step_size)

    def length(self, step: int) -> float:
        """Return the length of a step, counted from 0.

        Unless given, the first is a tenth of epsilon, or, of few steps, so long that together they reach the boundary.
        """
        shortest = max(self.epsilon / 10, _REACH * self.epsilon / self.steps)
        first = shortest if self.step_size is None else self.step_size
        return first if self.schedule == "constant" else first * (1 + math.cos(math.pi * step / self.steps)) / 2

    @property
    def ball(self) -> Ball:
        """Where points stay."""
        return Ball(self.epsilon, self.norm)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        return torch.cat([self._best(part) for part in problem.chunks()])

    def _best(self, problem: Problem) -> Tensor:
        kept = Kept(problem, targeted=self.targeted)
        generators = problem.generators() if self._is_random() else []
        for restart in range(self.restarts):
            start = problem.images if restart == 0 else self.ball.random(problem, generators)
            self._walks(problem, start, kept, generators)
        return kept.points

    def _is_random(self) -> bool:
        return self.restarts > 1

    @abstractmethod
    def _walks(self, problem: Problem, start: Tensor, kept: Kept, generators: list[torch.Generator]) -> None:
        """Walk from a start (N, C, H, W) as often as there are variants, and offer every point."""

    def _moved(self, problem: Problem, points: Tensor, descent: Tensor, number: int) -> Tensor:
        """Return the points after a step, counted from 0, against a gradient (N, C, H, W)."""
        step = self.length(number) * self.ball.direction(problem.within_region(descent))
        return self.ball.project(points.detach() - step, problem.images)


def gradients_of(losses: Sequence[Tensor], images: Tensor) -> list[Tensor]:
    """Return the gradient (N, C, H, W) of each loss (N,); zeros where a loss does not depend on the images.

    Values that are not finite count as 0, so that they do not end the walk. The graph is given up with the last one.

    Args:
        losses: Of the same pass, (N,) each, one value per image.
        images: (N, C, H, W) that require gradients.

    Raises:
        ValueError: If a detector looks at a gradient of the model, and an operation of this has no second derivative.
    """
    found = []
    for number, loss in enumerate(losses, 1):
        gradient: Tensor | None = None
        if loss.requires_grad:
            gradient = _gradient(loss.sum(), images, retain_graph=number < len(losses))
        found.append(torch.zeros_like(images) if gradient is None else gradient.nan_to_num(0, 0, 0))
    return found


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
        raise ValueError(msg) from error
