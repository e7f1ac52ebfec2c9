"""Sizes of perturbations and projections onto balls, all per image."""

import torch
from torch import Tensor


def linf(perturbation: Tensor) -> Tensor:
    """Return the largest absolute change of each image.

    Args:
        perturbation: (N, ...), any range.

    Returns:
        (N,), same dtype.
    """
    return perturbation.flatten(1).abs().amax(1)


def l2(perturbation: Tensor) -> Tensor:
    """Return the Euclidean length of each image's perturbation.

    Args:
        perturbation: (N, ...), any range.

    Returns:
        (N,), same dtype.
    """
    length: Tensor = torch.linalg.vector_norm(perturbation.flatten(1), dim=1)
    return length


def rms(perturbation: Tensor) -> Tensor:
    r"""Return :math:`\lVert r \rVert_2 / \sqrt{m}` of each image, m its number of values.

    This is the scale of Table 2 of Schut & Gal (2020).

    Args:
        perturbation: (N, ...), any range.

    Returns:
        (N,), same dtype.
    """
    return l2(perturbation) / float(perturbation.shape[1:].numel() ** 0.5)


def l0(perturbation: Tensor) -> Tensor:
    """Return how many values of each image changed (channels counted apart).

    Args:
        perturbation: (N, ...), any range.

    Returns:
        (N,), same dtype.
    """
    return (perturbation.flatten(1) != 0).sum(1).to(perturbation.dtype)


def project_linf(adversarial: Tensor, images: Tensor, epsilon: float) -> Tensor:
    """Return the nearest point to `adversarial` in the L-inf ball around `images` and in the box [0, 1].

    Args:
        adversarial: (N, C, H, W).
        images: (N, C, H, W) in [0, 1], the centres.
        epsilon: Radius, at least 0, in units of the image range.

    Returns:
        (N, C, H, W) in [0, 1].
    """
    return torch.minimum(torch.maximum(adversarial, images - epsilon), images + epsilon).clamp(0, 1)


def project_l2(adversarial: Tensor, images: Tensor, epsilon: float) -> Tensor:
    """Return `adversarial` drawn back onto the L2 ball around `images` and clipped to the box [0, 1].

    Not the nearest point of ball and box together, but one of both: clipping towards the images' box never lengthens
    a perturbation.

    Args:
        adversarial: (N, C, H, W).
        images: (N, C, H, W) in [0, 1], the centres.
        epsilon: Radius, at least 0.

    Returns:
        (N, C, H, W) in [0, 1].
    """
    change = adversarial - images
    length = l2(change).view(-1, 1, 1, 1)
    return torch.where(length > epsilon, images + change * (epsilon / length), adversarial).clamp(0, 1)
