"""Projected gradient descent on model and detector, each step against the one that is not beaten yet."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.ball import unit
from attacks.checks import at_least
from attacks.margin import ahead
from attacks.problem import Problem
from attacks.white_box.kept import Kept
from attacks.white_box.walk import Walk, gradients_of


@dataclass(frozen=True, kw_only=True)
class _Projected(Walk):
    """One walk for each weight of the detector's parts."""

    part_weights: tuple[float, ...] = (0.0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.part_weights:
            msg = "part_weights must hold at least one weight; [0] attacks the score alone"
            raise ValueError(msg)
        for weight in self.part_weights:
            at_least(0, part_weights=weight)

    def _walks(self, problem: Problem, start: Tensor, kept: Kept, generators: list[torch.Generator]) -> None:  # noqa: ARG002
        for weight in self.part_weights:
            self._walk(problem, start, kept, weight)

    def _walk(self, problem: Problem, points: Tensor, kept: Kept, weight: float) -> None:
        for number in range(self.steps):
            points = points.detach().requires_grad_()
            logits, scores, suspicion = self._asked(problem, points, weight)
            hit = kept.offer(points, logits, scores)
            resistance = -ahead(logits, problem.labels, targeted=self.targeted)
            points = self._moved(problem, points, self._descent(points, resistance, suspicion, hit), number)
        with torch.no_grad():
            kept.offer(points, *problem.joint(points))

    def _asked(self, problem: Problem, points: Tensor, weight: float) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits (N, K), scores (N,), and what is to be lowered once the model is fooled (N,)."""
        if weight == 0:
            logits, scores = problem.joint(points)
            return logits, scores, scores
        logits, scores, parts = problem.surrogates(points)
        return logits, scores, scores + weight * sum(parts.values(), torch.zeros_like(scores))

    @abstractmethod
    def _descent(self, points: Tensor, resistance: Tensor, suspicion: Tensor, hit: Tensor) -> Tensor:
        """Return the gradient (N, C, H, W) to step against.

        Args:
            points: (N, C, H, W).
            resistance: (N,), by how much the model's prediction stands.
            suspicion: (N,), the detector's.
            hit: (N,) bool, whether the model is fooled.
        """


@dataclass(frozen=True, kw_only=True)
class SelectivePGD(_Projected):
    r"""Selective projected gradient descent: against the model while it is not fooled, else against the detector.

    One backward pass a step serves both: the losses are masked per image and summed. The loss against the model is the
    margin of the labels, whose gradient does not vanish where the softmax saturates. Kept is the misclassified point
    of lowest score, the last one included; so the result is for every threshold.

    Args:
        epsilon: Budget, at least 0, in the norm chosen (L-inf: at most 1).
        step_size: Length of the first step in that norm; None: a tenth of epsilon, or more if steps are few.
        steps: Number of steps, at least 1.
        restarts: Number of walks, at least 1; the first begins at the image, the others at random points.
        norm: "linf" or "l2".
        schedule: "constant" (the paper's), or "cosine": steps shorten to none along half a cosine, which finds lower
            scores at the same cost.
        part_weights: Weights w of the detector's parts: what is lowered is the score plus w times the sum of the
            parts that the detector names (`surrogates`). A walk for each; the best point of all is kept.
        targeted: Whether labels are targets to reach.

    Raises:
        ValueError: If a number is out of its range or the norm another one.

    Reference:
        Bryniarski et al., "Evading Adversarial Example Detection Defenses with Orthogonal Projected Gradient
        Descent", arXiv 2106.15023, section 4.1.
    """

    def _descent(self, points: Tensor, resistance: Tensor, suspicion: Tensor, hit: Tensor) -> Tensor:
        return gradients_of([torch.where(hit, suspicion, resistance)], points)[0]


@dataclass(frozen=True, kw_only=True)
class OrthogonalPGD(_Projected):
    r"""Orthogonal projected gradient descent: as the selective one, but no step works against the other network.

    Of each gradient g its component along the other one's, h, is removed: :math:`g - h (g \cdot h) / (h \cdot h)`. In
    the L-inf norm the sign is taken afterwards, so that the step is orthogonal no longer. Two backward passes a step.

    Args:
        epsilon: Budget, at least 0, in the norm chosen (L-inf: at most 1).
        step_size: Length of the first step in that norm; None: a tenth of epsilon, or more if steps are few.
        steps: Number of steps, at least 1.
        restarts: Number of walks, at least 1; the first begins at the image, the others at random points.
        norm: "linf" or "l2".
        schedule: "constant" (the paper's), or "cosine": steps shorten to none along half a cosine, which finds lower
            scores at the same cost.
        part_weights: Weights of the detector's parts; see `SelectivePGD`.
        targeted: Whether labels are targets to reach.

    Raises:
        ValueError: If a number is out of its range or the norm another one.

    Reference:
        Bryniarski et al., arXiv 2106.15023, section 4.2. Their printed equation 6, read literally, gives g back; this
        is what their code does.
    """

    def _descent(self, points: Tensor, resistance: Tensor, suspicion: Tensor, hit: Tensor) -> Tensor:
        model, detector = gradients_of([resistance, suspicion], points)
        return torch.where(hit.view(-1, 1, 1, 1), _without(detector, model), _without(model, detector))


def _without(gradient: Tensor, other: Tensor) -> Tensor:
    """Return each image's gradient (N, C, H, W) without its component along another one."""
    along = unit(other)  # at unit length first: the squares of small gradients underflow
    return gradient - along * (gradient * along).sum((1, 2, 3), keepdim=True)
