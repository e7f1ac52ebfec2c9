"""BIM confined to a region, until it has succeeded."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from attacks.base import Attack
from attacks.checks import above_zero, at_least, below, lengths
from attacks.loop import Left
from attacks.norms import column, project_linf
from attacks.problem import Problem


@dataclass(frozen=True, kw_only=True)
class LocalizedBIM(Attack):
    """Signed gradient steps inside the region passed with the call, until the image's goal is reached.

    The gradient is multiplied by the region before its sign is taken. An image leaves when its target has the
    probability asked for (untargeted: when another class leads and all classes but the label have it together). An
    image that does not reach its goal is returned unchanged. Without a region the whole image may change.

    Args:
        epsilon: L-inf budget, in [0, 1]; the default 1 is none.
        step_size: L-inf length of a step, in [0, 1].
        steps: Most steps, at least 1.
        probability: The probability that the goal must reach, in (0, 1).
        targeted: Whether labels are targets to reach, as in the paper.

    Reference: Goepfert, Wersing, Hammer, "Recovering Localized Adversarial Attacks", ICANN 2019. Its numbers were not
    found; the defaults are those of a companion study.
    """

    norm_family = "linf"
    epsilon: float = 1.0
    step_size: float = 0.004
    steps: int = 1000
    probability: float = 0.99

    def __post_init__(self) -> None:
        lengths("linf", epsilon=self.epsilon, step_size=self.step_size)
        at_least(1, steps=self.steps)
        above_zero(probability=self.probability)
        below(1, probability=self.probability)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        points = problem.images.clone()
        left = Left(problem)
        for _ in range(self.steps):
            for rows in left.batches():
                part, here = problem[rows], points[rows].requires_grad_()
                logits = part.model(here)
                left.leave(rows, self._reached(logits.detach(), part.labels))
                loss = functional.cross_entropy(logits, part.labels, reduction="sum")
                (gradient,) = torch.autograd.grad(-loss if self.targeted else loss, here)
                step = self.step_size * part.within_region(gradient).sign()
                moved = project_linf(here.detach() + step, part.images, self.epsilon)
                points[rows] = torch.where(column(left.done(rows)), here.detach(), moved)
            left.end_step()
            if len(left) == 0:
                return points
        with torch.no_grad():
            for rows in left.batches():
                part, here = problem[rows], points[rows]
                reached = left.done(rows) | self._reached(part.model(here), part.labels)
                points[rows] = torch.where(column(reached), here, part.images)
        return points

    def _reached(self, logits: Tensor, labels: Tensor) -> Tensor:
        probability = logits.softmax(1).gather(1, labels[:, None]).squeeze(1)
        if self.targeted:
            return probability >= self.probability
        return (1 - probability >= self.probability) & (logits.argmax(1) != labels)
