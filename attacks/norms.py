"""Sizes (N,) of perturbations (N, ...) of any range, projections onto balls and unit directions, all per image."""

import torch
from torch import Tensor


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
