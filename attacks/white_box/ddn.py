"""The price of detection in L2: the shortest perturbation that passes both networks."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

from attacks.ddn import DDN
from attacks.minimal_norm import Goal
from attacks.problem import Problem

_SURE = 1e-5
"""How far below 0 a score must lie, as a share of the largest met: nearer ones turn with the batch size."""


@dataclass(frozen=True, kw_only=True)
class JointDDN(DDN):
    r"""The shortest perturbation that fools the model and that the detector accepts, by `DDN`'s walk.

    A step goes against the model while it is not fooled, else against the detector while it rejects, else against the
    one that withstood last; only directions count, so that the scale of the scores does not matter. The length over
    that of `DDN` with the same arguments is what the detector costs the attacker: 1 for one that accepts everything.

    Reference: Rony et al., arXiv 1811.09600, algorithm 1, for the walk; the goal of both networks is this project's.
    """

    needs_detector = True

    def goal(self, problem: Problem) -> Goal:
        """Return what the walk asks at its points."""
        return SwitchingGoal(problem, targeted=self.targeted)


class JointGoal(Goal):
    """The goal of fooling the model with a score of at most 0; a subclass defines the loss."""

    def __init__(self, problem: Problem, **options: Any) -> None:
        super().__init__(problem, **options)
        self._scale = torch.zeros_like(problem.images[:, 0, 0, 0])

    def look(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss (N,) at points (N, C, H, W), and whether both networks are passed (N,)."""
        logits, scores = self.problem.joint(points)
        resistance, hit = self.stand(logits)
        reached = hit & self._accepted(scores.detach())
        return self._loss(resistance, scores, hit, reached), reached

    def of(self, rows: Tensor) -> Self:
        """Return the goal on some of the images, by their indices (n,)."""
        part = super().of(rows)
        part._scale = self._scale[rows]  # noqa: SLF001 - its own
        return part

    def _accepted(self, scores: Tensor) -> Tensor:
        self._scale = torch.fmax(self._scale, scores.abs())  # passes over NaN
        return (scores <= -_SURE * self._scale) | (scores == 0)  # exactly 0: the detector counts

    def _loss(self, resistance: Tensor, scores: Tensor, hit: Tensor, reached: Tensor) -> Tensor:
        """Return the loss (N,) to lower; `hit` (N,): the model is fooled, `reached` (N,): both networks are passed."""
        raise NotImplementedError


class SwitchingGoal(JointGoal):
    """Against the model or the detector, whichever withstands, or withstood last."""

    def __init__(self, problem: Problem, **options: Any) -> None:
        super().__init__(problem, **options)
        self._at_detector = torch.zeros_like(problem.labels, dtype=torch.bool)

    def of(self, rows: Tensor) -> Self:
        """Return the goal on some of the images, by their indices (n,)."""
        part = super().of(rows)
        part._at_detector = self._at_detector[rows]  # noqa: SLF001 - its own
        return part

    def _loss(self, resistance: Tensor, scores: Tensor, hit: Tensor, reached: Tensor) -> Tensor:
        self._at_detector = torch.where(reached, self._at_detector, hit)
        return torch.where(self._at_detector, scores, resistance)
