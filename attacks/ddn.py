"""The attack of minimal L2 norm that decouples the direction of the perturbation from its length."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.checks import above_zero
from attacks.minimal_norm import Goal, Here, MinimalNorm
from attacks.norms import column, unit


@dataclass(frozen=True, kw_only=True)
class DDN(MinimalNorm):
    r"""Walk on a sphere around the image, which shrinks while the image is adversarial and grows while it is not.

    Steps follow the gradient's direction. Their length falls from 1 to .01 by a cosine. Each point is projected onto
    the sphere and clipped to [0, 1]. Returned is the adversarial image with the smallest perturbation, or the image
    itself if there is none.

    Args:
        steps: Number of steps, at least 1.
        gamma: Share by which the radius changes with each step, above 0 and below 1.
        initial_norm: The first radius, above 0, in units of the image range.

    Reference: Rony et al., "Decoupling Direction and Norm for Efficient Gradient-Based L2 Adversarial Attacks and
    Defenses", arXiv 1811.09600, algorithm 1.

    Differences: The loss is the log-odds of the label. Their gradient has the direction of the cross entropy's, but
        does not vanish when the softmax saturates. Points are not quantised on the way. The last point counts.
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
