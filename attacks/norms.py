"""Sizes (N,) of perturbations (N, ...) of any range; balls, projections onto them and directions in them, per image."""

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


def rms(perturbation: Tensor) -> Tensor:
    r"""Return :math:`\lVert r \rVert_2 / \sqrt{m}` of each image, m its number of values.

    This is the scale of Table 2 of Schut & Gal (2020).
    """
    return l2(perturbation) / float(perturbation.shape[1:].numel() ** 0.5)


def l0(perturbation: Tensor) -> Tensor:
    """Return how many values of each image changed (channels counted apart), in the perturbation's type."""
    return (perturbation.flatten(1) != 0).sum(1).to(perturbation.dtype)


def project_linf(adversarial: Tensor, images: Tensor, epsilon: float) -> Tensor:
    """Return the nearest point to `adversarial` in the L-inf ball of radius epsilon around images and in [0, 1]."""
    return torch.minimum(torch.maximum(adversarial, images - epsilon), images + epsilon).clamp(0, 1)


def project_l2(adversarial: Tensor, images: Tensor, epsilon: float) -> Tensor:
    """Return `adversarial` drawn back onto the L2 ball of radius epsilon around images, then clipped to [0, 1].

    Not the nearest point of ball and box together, but one of both: clipping towards the images' box never lengthens
    a perturbation.
    """
    change = adversarial - images
    length = column(l2(change))
    return torch.where(length > epsilon, images + change * (epsilon / length), adversarial).clamp(0, 1)


def unit(direction: Tensor) -> Tensor:
    """Return each image's direction (N, C, H, W) at L2 length 1; 0 where it has none."""
    length = column(l2(direction))
    return (direction / length).masked_fill(~(length > 0), 0)


def column(values: Tensor) -> Tensor:
    """Return one value per image (N,) as (N, 1, 1, 1)."""
    return values.view(-1, 1, 1, 1)


@dataclass(frozen=True)
class Ball:
    """All images within a distance.

    Attributes:
        epsilon: The radius, at least 0, in units of the image range.
        norm: linf or l2.
    """

    epsilon: float
    norm: str = "linf"

    def project(self, adversarial: Tensor, images: Tensor) -> Tensor:
        """Return points (N, C, H, W) brought back into the ball around images and into [0, 1]."""
        project = project_linf if self.norm == "linf" else project_l2
        return project(adversarial, images, self.epsilon)

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the steepest direction (N, C, H, W) of length 1 in the norm; 0 where there is no gradient."""
        return gradient.sign() if self.norm == "linf" else unit(gradient)

    def random(self, problem: Problem, generators: list[torch.Generator]) -> Tensor:
        """Return a point of each image's ball, uniformly drawn by its generator, then cut to the region and [0, 1]."""
        images = problem.images
        if self.norm == "linf":
            change = self.epsilon * (2 * drawn(generators, *images.shape[1:], dtype=images.dtype) - 1)
        else:
            directions = drawn(generators, *images.shape[1:], dtype=images.dtype, draw=torch.randn)
            radii = self.epsilon * drawn(generators, dtype=images.dtype) ** (1 / images.shape[1:].numel())
            change = unit(directions) * column(radii)
        return (images + problem.within_region(change.to(images.device))).clamp(0, 1)
