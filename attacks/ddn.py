"""The attack of minimal L2 norm that decouples the direction of the perturbation from its length."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.checks import above_zero
from attacks.minimal_norm import Goal, Here, MinimalNorm
from attacks.norms import column, unit


@dataclass(frozen=True, kw_only=True)
class DDN(MinimalNorm):
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
    initial_norm: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        above_zero(initial_norm=self.initial_norm)

    def _radii(self, images: Tensor) -> Tensor:
        return torch.full_like(images[:, 0, 0, 0], self.initial_norm)

    def _move(self, step: int, goal: Goal, here: Here, radii: Tensor) -> tuple[Tensor, Tensor]:
        change = here.change - self._length(step) * unit(here.gradient)
        radii = torch.where(here.reached, (1 - self.gamma) * radii, (1 + self.gamma) * radii)
        return (goal.problem.images + column(radii) * unit(change)).clamp(0, 1), radii
