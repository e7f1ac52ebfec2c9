"""Norms (N,) of perturbations (N, ...), balls, and projections and directions in them, each per image."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.problem import Problem, drawn

NORMS = ("linf", "l2")


def linf(perturbation: Tensor) -> Tensor:
    """Return the largest absolute change of each image."""
    return perturbation.flatten(1).abs().amax(1)


def l2(perturbation: Tensor) -> Tensor:
    """Return the Euclidean length of each image's perturbation."""
    length: Tensor = torch.linalg.vector_norm(perturbation.flatten(1), dim=1)
    return length


def l1(perturbation: Tensor) -> Tensor:
    """Return the sum of each image's absolute changes."""
    return perturbation.flatten(1).abs().sum(1)


def rms(perturbation: Tensor) -> Tensor:
    r"""Return :math:`\lVert r \rVert_2 / \sqrt{m}` of each image, m its number of values.

    This is the scale of Table 2 of Schut & Gal (2020).
    """
    return l2(perturbation) / float(perturbation.shape[1:].numel() ** 0.5)


def l0(perturbation: Tensor) -> Tensor:
    """Return how many values of each image changed (channels counted apart), in the perturbation's type."""
    return (perturbation.flatten(1) != 0).sum(1).to(perturbation.dtype)


def project_linf(adversarial: Tensor, images: Tensor, epsilon: float | Tensor) -> Tensor:
    """Return the nearest point to `adversarial` in the L-inf ball of radius epsilon around images and in [0, 1]."""
    return torch.minimum(torch.maximum(adversarial, images - epsilon), images + epsilon).clamp(0, 1)


def project_l2(adversarial: Tensor, images: Tensor, epsilon: float | Tensor) -> Tensor:
    """Return `adversarial` drawn back onto the L2 ball of radius epsilon around images, then clipped to [0, 1].

    The result lies in ball and box, since clipping never lengthens a perturbation. It need not be the nearest such
    point.
    """
    change = adversarial - images
    length = column(l2(change))
    return torch.where(length > epsilon, images + change * (epsilon / length), adversarial).clamp(0, 1)


def project_l1(adversarial: Tensor, images: Tensor, epsilon: Tensor) -> Tensor:
    """Return the nearest points to `adversarial` in the L1 ball of radius epsilon around images, clipped to [0, 1].

    All absolute changes shrink by the same number, at most to 0.
    """
    change = adversarial - images
    sizes = change.flatten(1).abs()
    excess = sizes.sort(1, descending=True).values.cumsum(1) - epsilon.view(-1, 1)
    threshold = (excess / torch.arange(1, sizes.shape[1] + 1, device=sizes.device)).amax(1).clamp(min=0)
    return (images + change.sign() * (change.abs() - column(threshold)).clamp(min=0)).clamp(0, 1)


def project_l0(adversarial: Tensor, images: Tensor, epsilon: Tensor) -> Tensor:
    """Return images with the epsilon largest changes of `adversarial` (of equal ones the first), in [0, 1]."""
    order = (adversarial - images).flatten(1).abs().argsort(dim=1, descending=True, stable=True)
    kept = order.argsort(1).view_as(images) < epsilon
    return torch.where(kept, adversarial, images).clamp(0, 1)


def unit(direction: Tensor) -> Tensor:
    """Return each image's direction (N, C, H, W), scaled to L2 length 1; a direction of 0 stays 0."""
    length = column(l2(direction))
    return (direction / length).masked_fill(~(length > 0), 0)


def levelled(direction: Tensor) -> Tensor:
    """Return each image's direction (N, C, H, W), scaled so that its values have a mean size of 1.

    Where that cannot be, as of a direction of 0, it is 0.
    """
    return (direction / column(direction.abs().mean((1, 2, 3)))).nan_to_num(0, 0, 0)


def column(values: Tensor) -> Tensor:
    """Return one value per image (N,) as (N, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)


LENGTHS = {"l0": l0, "l1": l1, "l2": l2, "linf": linf}
PROJECTIONS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "l0": project_l0,
    "l1": project_l1,
    "l2": project_l2,
    "linf": project_linf,
}
"""Projections into [0, 1] and balls of radii (N, 1, 1, 1), by the name of the norm."""


@dataclass(frozen=True)
class Ball:
    """The images within a distance of a given one.

    Attributes:
        epsilon: The radius, at least 0, in units of the image range.
        norm: linf or l2.
    """

    epsilon: float
    norm: str = "linf"

    def project(self, adversarial: Tensor, images: Tensor) -> Tensor:
        """Return points (N, C, H, W) projected into the ball around images and clipped to [0, 1]."""
        project = project_linf if self.norm == "linf" else project_l2
        return project(adversarial, images, self.epsilon)

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the steepest direction (N, C, H, W) of length 1 in the norm; 0 where there is no gradient."""
        return gradient.sign() if self.norm == "linf" else unit(gradient)

    def random(self, problem: Problem, generators: list[torch.Generator]) -> Tensor:
        """Return a uniformly drawn point of each image's ball, then confined to the region and [0, 1]."""
        images = problem.images
        if self.norm == "linf":
            change = self.epsilon * (2 * drawn(generators, *images.shape[1:], dtype=images.dtype) - 1)
        else:
            directions = drawn(generators, *images.shape[1:], dtype=images.dtype, draw=torch.randn)
            radii = self.epsilon * drawn(generators, dtype=images.dtype) ** (1 / images.shape[1:].numel())
            change = unit(directions) * column(radii)
        return (images + problem.within_region(change.to(images.device))).clamp(0, 1)
