"""The price of detection: the shortest perturbation that passes both networks."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.ddn import DDN, Goal
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

    def goal(self, problem: Problem) -> "Goal":
        """Return what the walk asks at its points."""
        return _JointGoal(problem, targeted=self.targeted)


class _JointGoal(Goal):
    """To fool the model with a score of at most 0."""

    def __init__(self, problem: Problem, *, targeted: bool) -> None:
        super().__init__(problem, targeted=targeted)
        self._scale = torch.zeros_like(problem.images[:, 0, 0, 0])
        self._at_detector = torch.zeros_like(problem.labels, dtype=torch.bool)

    def look(self, points: Tensor) -> tuple[Tensor, Tensor]:
        logits, scores = self.problem.joint(points)
        resistance, hit = self.stand(logits)
        values = scores.detach()
        self._scale = torch.fmax(self._scale, values.abs())  # passes over NaN
        accepted = (values <= -_SURE * self._scale) | (values == 0)  # exactly 0: the detector counts
        reached = hit & accepted
        self._at_detector = torch.where(reached, self._at_detector, hit)
        return torch.where(self._at_detector, scores, resistance), reached
