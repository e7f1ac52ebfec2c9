"""Projected gradient descent with momentum on one loss of two hinges: the model's margin and the detector's score."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Generator, Tensor

from attacks.checks import above_zero, at_least, below
from attacks.loop import gradients_of
from attacks.margin import ahead
from attacks.norms import levelled
from attacks.problem import Problem
from attacks.white_box.projected import PartsWalk
from attacks.white_box.walk import Kept, Look


class _Way(NamedTuple):
    """What differs between walks: the parts' weight, and the momentum (N, C, H, W)."""

    part_weight: float
    momentum: Tensor


def hinges(
    problem: Problem, stands: Tensor, scores: Tensor, margin: float, score_margin: float
) -> tuple[Tensor, Tensor]:
    """Return both hinges (n,): of by how much predictions stand (n,), in logits, and of scores (n,) in their spread.

    Above its threshold a score counts by its logarithm: a detector whose scores reach thousands of their spread under
    attack would outweigh the model otherwise, and no image would be misclassified.
    """
    spread = getattr(problem.detector, "spread", 1.0)
    pull = (scores / spread + score_margin).clamp(min=0)
    above = score_margin * (1 + (pull / score_margin).clamp(min=1).log())
    return (stands + margin).clamp(min=0), torch.where(pull > score_margin, above, pull)


def squared(hinged: tuple[Tensor, Tensor]) -> Tensor:
    """Return the sum of the squares of both hinges (n,): a part that is nearly beaten pulls little."""
    return hinged[0].square() + hinged[1].square()


def standing(problem: Problem, logits: Tensor, goal: Tensor | None, *, targeted: bool) -> Tensor:
    """Return by how much the predictions stand against a goal (n,); None: against leaving, or reaching, the labels."""
    if goal is None:
        return -ahead(logits, problem.labels, targeted=targeted)
    return -ahead(logits, goal, targeted=True)


@dataclass(frozen=True, kw_only=True)
class HingedPGD(PartsWalk):
    r"""Descent of :math:`\max(0, m + r(x))^2 + g(\max(0, m_d + s(x) / \sigma))^2` with momentum, for several goals.

    r is by how much the prediction stands, in logits: the label's lead over the other classes or, for a goal, the lead
    of the others over it. s is the detector's score above its threshold, and sigma its standard deviation on the clean
    calibration images, so that a detector of large scores does not drown the model's part. g(h) is h up to the
    threshold, :math:`h = m_d`, and :math:`m_d (1 + \log(h / m_d))` beyond: under attack the scores of some detectors
    reach thousands of their deviations. A part that is nearly beaten pulls little and does not hold up the other; one
    that is beaten has no gradient. Selective PGD switches at margin 0 instead, and steps to and fro across the decision
    boundary. The gradient is divided by the mean of its absolute values and added to the momentum, whose direction is
    stepped against: it carries a walk over the kinks of ReLUs and hinges. Kept is the misclassified point of lowest
    score.

    An image that is misclassified and accepted takes part in no further walk, so that most images cost one walk. The
    result is for the threshold aimed at.

    Args:
        step_size: Length of the first step; None: a fifth of epsilon, or more if steps are few.
        decay: Weight of the past gradients in the momentum, in [0, 1).
        margin: m, in logits, above 0.
        score_margin: :math:`m_d`, in standard deviations of the detector's score on clean images, above 0.
        goals: See `Walk`; 3 unless given.

    Reference: This project. The squares are those of the quadratic penalty method (Nocedal & Wright, "Numerical
    Optimization", chapter 17). Carlini & Wagner, arXiv 1608.04644, have the hinge; Dong et al., arXiv 1710.06081, the
    momentum; Croce & Hein, arXiv 2003.01690, the nearest classes as goals.
    """

    _first_step: ClassVar[float] = 0.2
    steps: int = 60
    decay: float = 0.75
    margin: float = 1.0
    score_margin: float = 0.5
    goals: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(0, decay=self.decay)
        below(1, decay=self.decay)
        above_zero(margin=self.margin, score_margin=self.score_margin)

    def _walks(self, problem: Problem, start: Tensor, kept: Kept, generators: list[Generator]) -> None:  # noqa: ARG002
        for weight in self.part_weights:
            rows = (~kept.accepted).nonzero().flatten()
            if len(rows):
                part = kept.of(rows)
                self._walk(problem[rows], start[rows], part, _Way(weight, torch.zeros_like(start[rows])))
                kept.put(rows, part)

    def _ask(self, problem: Problem, points: Tensor, way: Any) -> tuple[Tensor, Tensor, Tensor]:
        return super()._ask(problem, points, way.part_weight)

    def _direction(self, problem: Problem, look: Look, way: _Way) -> Tensor:
        stands = -ahead(look.logits, problem.labels, targeted=self.targeted)
        loss = squared(hinges(problem, stands, look.suspicion, self.margin, self.score_margin))
        gradient = problem.within_region(gradients_of([loss], look.points)[0])
        way.momentum.mul_(self.decay).add_(levelled(gradient))
        return self.ball.direction(way.momentum)
