"""Projected gradient descent on model and detector at once, weighed by a multiplier that grows where one holds out."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Generator, Tensor

from attacks.apgd import APGD
from attacks.base import MostPasses
from attacks.checks import above_zero, at_least, below
from attacks.loop import gradients_of
from attacks.margin import ahead
from attacks.norms import column, levelled, unit
from attacks.problem import Problem
from attacks.white_box.walk import Kept, Look, Walk


class _State(NamedTuple):
    """Of each image: the momentum (N, C, H, W) and the multiplier of the detector's constraint (N,)."""

    momentum: Tensor
    multiplier: Tensor


@dataclass(frozen=True, kw_only=True)
class LagrangianPGD(Walk):
    r"""Descent towards a misclassified and accepted image, with a multiplier and starts at adversarial images.

    Wanted is a point with :math:`r(x) \le -m` and :math:`s(x) / \sigma \le -m_d`: r is by how much the prediction
    stands, in logits, s the detector's score above its threshold, and sigma its standard deviation on clean images. The
    Lagrangian of these two constraints has one multiplier that counts, :math:`\lambda`, since a common factor changes
    no direction. A step goes against

    .. math:: [r > -m] \, \nabla r / |\nabla r| + \lambda \, [s / \sigma > -m_d] \, \nabla s / |\nabla s|

    with momentum. :math:`\lambda` grows by a factor in each step at a point that is misclassified, as any class, and
    rejected, and shrinks by it at one that is accepted and not misclassified: dual ascent, in logarithms. So neither
    constraint stays behind however its gradient compares with the other's, as in a sum with a fixed weight.

    The first walk has no goal but to leave the label. Then each goal is walked to twice: from the start, then from the
    point at which Auto-PGD on the model alone reaches the goal, if it does. That second start lies where the model is
    beaten already. A narrow set of solutions is met from there, when a walk from the image takes another way. An image
    that is won takes part in no further walk. The result is for the threshold aimed at.

    Args:
        step_size: Length of the first step; None: a fifth of epsilon, or more if steps are few.
        decay: Weight of the past gradients in the momentum, in [0, 1).
        margin: m, in logits, above 0.
        score_margin: :math:`m_d`, in standard deviations of the detector's score on clean images, above 0.
        growth: Factor of :math:`\lambda`, at least 1.
        goals: See `Walk`; 9 unless given. A targeted attack walks from its start alone.

    Reference: This project. Multipliers for adversarial images: Rony et al., "Augmented Lagrangian Adversarial
    Attacks", arXiv 2011.11857; Matyasko & Chau, "PDPGD: Primal-Dual Proximal Gradient Descent Adversarial Attack",
    arXiv 2106.01538. The start: Croce & Hein, arXiv 2003.01690.
    """

    _first_step: ClassVar[float] = 0.2
    _gradients: ClassVar[int] = 2
    steps: int = 60
    decay: float = 0.75
    margin: float = 0.15
    score_margin: float = 0.05
    growth: float = 1.06
    goals: int = 9

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(0, decay=self.decay)
        below(1, decay=self.decay)
        above_zero(margin=self.margin, score_margin=self.score_margin)
        at_least(1, whole=False, growth=self.growth)

    def most_passes(self, classes: int) -> MostPasses:
        """Return the most passes for an image; see `Attack.most_passes`."""
        goals = 0 if self.targeted else min(self.goals, classes - 1)
        plain, again = self._on_model.most_passes(classes), self.restarts * goals
        forward = self.restarts * (1 + 2 * goals) * (self.steps + 1) + again * plain.forward + min(goals, 1)
        return MostPasses(forward, 2 * self.restarts * (1 + 2 * goals) * self.steps + again * plain.backward)

    @property
    def _on_model(self) -> APGD:
        return APGD(epsilon=self.epsilon, steps=self.steps, norm=self.norm, loss="dlr", targeted=True)

    def _walks(self, problem: Problem, start: Tensor, kept: Kept, generators: list[Generator]) -> None:  # noqa: ARG002
        rows = (~kept.accepted).nonzero().flatten()
        if len(rows):
            part, points = kept.of(rows), start[rows]
            self._walk(
                problem[rows], points, part, _State(torch.zeros_like(points), torch.ones_like(points[:, 0, 0, 0]))
            )
            kept.put(rows, part)

    def _walks_to(self, goal: Tensor, problem: Problem, start: Tensor, kept: Kept, generators: list[Generator]) -> None:
        super()._walks_to(goal, problem, start, kept, generators)
        rows = (~kept.accepted).nonzero().flatten()
        if not len(rows):
            return
        aimed = replace(problem[rows], labels=goal[rows])
        plain = Kept(aimed, targeted=True, final=True)
        self._on_model.climb(aimed, start[rows], plain, None)
        rows, points = rows[plain.fooled], plain.points[plain.fooled]
        if len(rows):
            part = kept.of(rows)
            super()._walks_to(goal[rows], problem[rows], points, part, [])
            kept.put(rows, part)

    def _direction(self, problem: Problem, look: Look, way: Any) -> Tensor:
        stands = -ahead(look.logits, problem.labels, targeted=self.targeted)
        spread = getattr(problem.detector, "spread", 1.0)
        accepted = look.suspicion.detach() <= 0
        way.multiplier.mul_(torch.where(look.hit & ~accepted, self.growth, 1.0))
        way.multiplier.div_(torch.where(~look.hit & accepted, self.growth, 1.0))
        model, detector = gradients_of([stands, look.suspicion], look.points)
        model, detector = (unit(problem.within_region(gradient)) for gradient in (model, detector))
        behind = (look.suspicion.detach() > -self.score_margin * spread).to(model)
        gradient = model * column((stands.detach() > -self.margin).to(model))
        gradient += detector * column(way.multiplier * behind)
        way.momentum.mul_(self.decay).add_(levelled(gradient))
        return self.ball.direction(way.momentum)
