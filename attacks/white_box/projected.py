"""Projected gradient descent on model and detector, each step against the one that is not beaten yet."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from attacks.checks import at_least
from attacks.errors import InputError
from attacks.loop import gradients_of
from attacks.margin import ahead
from attacks.norms import column, unit
from attacks.problem import Problem
from attacks.white_box.walk import Kept, Look, Walk


@dataclass(frozen=True, kw_only=True)
class PartsWalk(Walk):
    """A walk for each weight of the detector's parts.

    Args:
        part_weights: Weights w of the detector's parts: what is lowered is the score plus w times the sum of the
            parts that the detector names (`surrogates`). A walk for each; the best point of all is kept.
    """

    part_weights: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.part_weights:
            msg = "part_weights must hold at least one weight; [0] attacks the score alone"
            raise InputError(msg)
        for weight in self.part_weights:
            at_least(0, part_weights=weight)

    @property
    def _ways(self) -> int:
        return len(self.part_weights)

    def _ask(self, problem: Problem, points: Tensor, way: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Ask for the score alone, or with the parts: `way` is their weight."""
        if way == 0:
            return super()._ask(problem, points, way)
        logits, scores, parts = problem.surrogates(points)
        return logits, scores, scores + way * sum(parts.values(), torch.zeros_like(scores))


@dataclass(frozen=True, kw_only=True)
class _Projected(PartsWalk):
    """Walks whose steps go against what is not beaten yet."""

    def _walks(self, problem: Problem, start: Tensor, kept: Kept, generators: list[Generator]) -> None:  # noqa: ARG002
        for weight in self.part_weights:
            self._walk(problem, start, kept, weight)

    def _direction(self, problem: Problem, look: Look, weight: float) -> Tensor:  # noqa: ARG002
        resistance = -ahead(look.logits, problem.labels, targeted=self.targeted)
        return self._steepest(problem, self._descent(look, resistance))

    @abstractmethod
    def _descent(self, look: Look, resistance: Tensor) -> Tensor:
        """Return the gradient (N, C, H, W) to step against; `resistance` (N,) is by how much the prediction stands."""


@dataclass(frozen=True, kw_only=True)
class SelectivePGD(_Projected):
    r"""Selective projected gradient descent: against the model while it is not fooled, else against the detector.

    One backward pass a step serves both: the losses are masked per image and summed. The loss against the model is the
    margin of the labels, whose gradient does not vanish where the softmax saturates. Kept is the misclassified point
    of lowest score, the last one included; so the result is for every threshold.

    Reference: Bryniarski et al., "Evading Adversarial Example Detection Defenses with Orthogonal Projected Gradient
    Descent", arXiv 2106.15023, section 4.1.
    """

    def _descent(self, look: Look, resistance: Tensor) -> Tensor:
        return gradients_of([torch.where(look.hit, look.suspicion, resistance)], look.points)[0]


@dataclass(frozen=True, kw_only=True)
class OrthogonalPGD(_Projected):
    r"""Orthogonal projected gradient descent: as the selective one, but no step works against the other network.

    Of each gradient g its component along the other one's, h, is removed: :math:`g - h (g \cdot h) / (h \cdot h)`. In
    the L-inf norm the sign is taken afterwards, so that the step is orthogonal no longer. Two backward passes a step.

    Reference: Bryniarski et al., arXiv 2106.15023, section 4.2. Their printed equation 6, read literally, gives g back;
    this is what their code does.
    """

    _gradients: ClassVar[int] = 2

    def _descent(self, look: Look, resistance: Tensor) -> Tensor:
        model, detector = gradients_of([resistance, look.suspicion], look.points)
        return torch.where(column(look.hit), _without(detector, model), _without(model, detector))


def _without(gradient: Tensor, other: Tensor) -> Tensor:
    """Return each image's gradient (N, C, H, W) without its component along another one."""
    along = unit(other)  # at unit length first: the squares of small gradients underflow
    return gradient - along * (gradient * along).sum((1, 2, 3), keepdim=True)
