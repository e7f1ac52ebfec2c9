"""The smallest budget at which each image is won: the shortest perturbation, in any norm, that passes both networks."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from attacks.checks import above_zero, at_least, below
from attacks.fmn import FMN
from attacks.loop import Shortest
from attacks.margin import lead, nearest_classes
from attacks.minimal_norm import Goal, Here
from attacks.norms import NORMS, Ball, column, levelled
from attacks.problem import Problem
from attacks.white_box.ddn import JointGoal
from attacks.white_box.hinged import hinges

_SHARE = 0.2
"""Length of the first step in L-inf and L2, in radii."""


@dataclass(frozen=True, kw_only=True)
class JointFMN(FMN):
    r"""The shortest perturbation that fools the model and that the detector accepts, by walks to several goals.

    The radius moves as in `FMN`. What is lowered is `HingedPGD`'s loss of two hinges, its gradient added to a momentum.
    In L-inf and L2 the first step is a fifth of the radius long, in the steepest direction of the norm; in L0 and L1 it
    is `FMN`'s. After a walk that only leaves the label, each of the nearest classes is the goal of another walk, and
    the shortest change of all is kept: to the nearest class by logits the way is not always the shortest.

    So one run gives every image the smallest budget found at which it is won, and the share of images won within a
    budget is exact for every budget at once.

    Args:
        steps: Number of steps of each walk, at least 1.
        gamma: Share by which the radius changes at first, above 0 and below 1.
        step_size: L2 length of the first step in L0 and L1.
        decay: Weight of the past gradients in the momentum, in [0, 1).
        margin: Margin of the model's hinge, in logits, above 0.
        score_margin: Margin of the detector's hinge, in standard deviations of its score on clean images, above 0.
        goals: So many classes, those of the largest logits on the clean image beside the label, are goals. Targeted
            attacks have their target only.

    Reference: Pintor et al., arXiv 2102.12827, algorithm 1, for the radius; the rest is this project's.
    """

    needs_detector = True
    steps: int = 50
    gamma: float = 0.1
    decay: float = 0.75
    margin: float = 1.0
    score_margin: float = 0.5
    goals: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(0, whole=True, goals=self.goals)
        at_least(0, decay=self.decay)
        below(1, decay=self.decay)
        above_zero(margin=self.margin, score_margin=self.score_margin)

    def goal(self, problem: Problem) -> Goal:
        """Return what the walk asks at its points."""
        return _HingedGoal(problem, targeted=self.targeted, attack=self)

    def _shortest(self, problem: Problem) -> Shortest:
        found = super()._shortest(problem)
        rows = (found.lengths > 0).nonzero().flatten()
        if len(rows):
            number = 0 if self.targeted else self.goals
            for classes in nearest_classes(problem[rows], number) if number else []:
                aimed = replace(problem[rows], labels=classes)
                part = FMN._shortest(replace(self, targeted=True), aimed)  # noqa: SLF001 - its own
                found.offer(rows, part.points, part.lengths, part.lengths.isfinite())
        return found

    def _step(self, step: int, goal: Goal, here: Here, radii: Tensor) -> Tensor:
        assert isinstance(goal, _HingedGoal)  # noqa: S101 - see `goal`
        momentum = goal.add(here.gradient)
        if self.norm not in NORMS:
            return super()._step(step, goal, here._replace(gradient=momentum), radii)
        return _SHARE * self._length(step) * column(radii) * Ball(1, self.norm).direction(momentum)


class _HingedGoal(JointGoal):
    """Against both while neither is beaten by its margin; it holds the momentum of the walk."""

    def __init__(self, problem: Problem, *, targeted: bool, attack: JointFMN) -> None:
        super().__init__(problem, targeted=targeted, stands=lead)
        self._attack = attack
        self._momentum = torch.zeros_like(problem.images)

    def of(self, rows: Tensor) -> Self:
        """Return the goal on some of the images, by their indices (n,)."""
        part = super().of(rows)
        part._momentum = self._momentum[rows]  # noqa: SLF001 - its own
        return part

    def add(self, gradient: Tensor) -> Tensor:
        """Return the momentum (N, C, H, W) after a gradient, which is divided by the mean of its absolute values."""
        self._momentum = self._attack.decay * self._momentum + levelled(gradient)
        return self._momentum

    def _loss(self, resistance: Tensor, scores: Tensor, hit: Tensor, reached: Tensor) -> Tensor:  # noqa: ARG002
        of_model, of_detector = hinges(self.problem, resistance, scores, self._attack.margin, self._attack.score_margin)
        return of_model + of_detector
