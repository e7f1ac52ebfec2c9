"""The fast minimum-norm attack: each step is projected into a ball whose radius adapts, in any norm."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.base import NormFamily
from attacks.checks import above_zero, one_of
from attacks.margin import lead
from attacks.minimal_norm import Goal, Here, MinimalNorm, annealed
from attacks.norms import LENGTHS, PROJECTIONS, column, unit
from attacks.problem import Problem

_DUALS = {"l1": "linf", "l2": "l2", "linf": "l1"}
_LAST_GAMMA = 0.001


@dataclass(frozen=True, kw_only=True)
class FMN(MinimalNorm):
    r"""Fast minimum-norm attack: steps along the gradient, projected into a ball that shrinks and grows.

    With :math:`\delta` the change, :math:`\mathcal{L}` the lead of the label over the other classes (targeted: of the
    others over the target) and :math:`q` the dual norm, the radius becomes

    - :math:`\min((1 - \gamma)\,\varepsilon, \lVert \delta^* \rVert)` while the goal is reached,
      :math:`\delta^*` being the shortest change that reached it;
    - :math:`\lVert \delta \rVert + |\mathcal{L}| / \lVert \nabla \mathcal{L} \rVert_q`, the estimated distance to the
      boundary, while it was never reached;
    - :math:`(1 + \gamma)\,\varepsilon` otherwise.

    In L0 the radius is a whole number of values, 1 at first, that changes by at least 1. Steps fall from `step_size` to
    a hundredth of it, gamma to .001, by a cosine. Returned is the adversarial image with the smallest perturbation, or
    the image itself if there is none.

    Args:
        steps: Number of steps, at least 1.
        gamma: Share by which the radius changes at first, above 0 and below 1.
        norm: The norm made small: "l0" (values changed, channels counted apart), "l1", "l2" or "linf".
        step_size: L2 length of the first step, above 0, in units of the image range.

    Reference: Pintor, Roli, Brendel, Biggio, "Fast Minimum-norm Adversarial Attacks through Adaptive Norm
    Constraints", arXiv 2102.12827, algorithm 1, started at the image.

    Differences: Gradients that would push a value at 0 or 1 out of the range count as 0. Otherwise the estimated
        distance to the boundary is too short, and walks in L1 and L2 stop before it (a third of the tests' 48 images).
        The radius grows at least by .001 of the change, so that no walk ends exactly on the boundary. The last point
        counts.
    """

    norm: NormFamily = "linf"
    step_size: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(tuple(LENGTHS), norm=self.norm)
        above_zero(step_size=self.step_size)
        object.__setattr__(self, "norm_family", self.norm)

    def goal(self, problem: Problem) -> Goal:
        """Return what the walk asks at its points."""
        return Goal(problem, targeted=self.targeted, stands=lead)

    def _radii(self, images: Tensor) -> Tensor:
        return torch.ones_like(images[:, 0, 0, 0])

    def _move(self, step: int, goal: Goal, here: Here, radii: Tensor) -> tuple[Tensor, Tensor]:
        images, gamma = goal.problem.images, annealed(self.gamma, min(_LAST_GAMMA, self.gamma), step / self.steps)
        here = here._replace(gradient=_inward(here.gradient, images + here.change))
        radii = self._counts(here, radii, gamma) if self.norm == "l0" else self._distances(here, radii, gamma)
        radii = torch.minimum(radii, LENGTHS[self.norm](torch.maximum(images, 1 - images)))  # no change is longer
        change = here.change - self._step(step, goal, here, radii)
        return PROJECTIONS[self.norm](images + change, images, column(radii)), radii

    def _step(self, step: int, goal: Goal, here: Here, radii: Tensor) -> Tensor:  # noqa: ARG002 - a subclass needs them
        """Return the step (N, C, H, W), to be subtracted from the change."""
        return self.step_size * self._length(step) * unit(here.gradient)

    def _distances(self, here: Here, radii: Tensor, gamma: float) -> Tensor:
        """Return the next radii (N,) in L1, L2 or L-inf."""
        seeming = here.lengths + here.loss.abs() / LENGTHS[_DUALS[self.norm]](here.gradient)
        beyond = torch.maximum(seeming.nan_to_num(), (1 + _LAST_GAMMA) * here.lengths)
        grown = torch.where(here.shortest.isinf(), beyond, (1 + gamma) * radii)
        return torch.where(here.reached, torch.minimum((1 - gamma) * radii, here.shortest), grown)

    def _counts(self, here: Here, radii: Tensor, gamma: float) -> Tensor:
        """Return the next radii (N,) in L0."""
        shrunk = torch.minimum(torch.minimum(radii - 1, ((1 - gamma) * radii).floor()), here.shortest)
        grown = torch.maximum(radii + 1, ((1 + gamma) * radii).floor())
        return torch.where(here.reached, shrunk, grown).clamp(min=1)


def _inward(gradient: Tensor, points: Tensor) -> Tensor:
    """Return the gradient (N, C, H, W), set to 0 where a step against it would leave [0, 1] at once."""
    blocked = ((points <= 0) & (gradient > 0)) | ((points >= 1) & (gradient < 0))
    return gradient.masked_fill(blocked, 0)
