"""Pixels in the order of a map, and what is put in their place."""

from typing import Final

import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as transforms

from experiments.explanation.enhance import names
from saliency.recovery import descending

BLUR: Final = 1 / 16
"""Standard deviation of the blur as a share of the shorter side: the attack's detail goes, the object stays."""


def ranks(maps: Tensor) -> Tensor:
    """Return the rank (N, H, W) of each pixel, 0 for the largest value; ties are broken by chance, seeded by the row.

    Args:
        maps: (N, 1, H, W).
    """
    generators = [torch.Generator().manual_seed(row) for row in range(len(maps))]
    return descending(maps.flatten(1), generators).argsort(1).view(len(maps), *maps.shape[2:])


def filling(images: Tensor, fill: names.Fill) -> Tensor:
    """Return what is put in place of pixels, (N, C, H, W) in [0, 1].

    Args:
        images: (N, C, H, W) in [0, 1].
        fill: mean: the image's mean colour; noise: uniform, seeded by the row; blur: a Gaussian blur of the image.
    """
    if fill == "mean":
        return images.mean((2, 3), keepdim=True).expand_as(images)
    if fill == "noise":
        drawn = [
            torch.rand(image.shape, generator=torch.Generator().manual_seed(row)) for row, image in enumerate(images)
        ]
        return torch.stack(drawn) if drawn else images.clone()
    sigma = BLUR * min(images.shape[2:])
    reach = min(int(3 * sigma + 0.5), min(images.shape[2:]) - 1)
    blurred: Tensor = transforms.gaussian_blur(images, [2 * reach + 1] * 2, [sigma] * 2)
    return blurred


def perturbed(images: Tensor, places: Tensor, share: float, fillings: Tensor) -> Tensor:
    """Return images (N, C, H, W) whose first pixels are replaced, all channels of a pixel together.

    Args:
        images: (N, C, H, W).
        places: (N, H, W), ranks of the pixels.
        share: Share of the pixels to replace, in [0, 1]; their number is rounded.
        fillings: (N, C, H, W), what is put in their place.
    """
    count = round(share * places[0].numel()) if len(places) else 0
    return torch.where((places < count)[:, None], fillings, images)
