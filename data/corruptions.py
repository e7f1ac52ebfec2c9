"""Benign changes of images in five severities: the common corruptions of CIFAR-10-C that need no pictures or OpenCV."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torchvision.transforms.v2 import functional as transforms

from attacks.checks import at_least, at_most, one_of
from attacks.problem import Problem, drawn

SEVERITIES: Final = (1, 2, 3, 4, 5)

Change = Callable[[Tensor, float, list[Generator]], Tensor]
"""Takes images (N, C, H, W) in [0, 1], the strength, and a generator per image; values may leave [0, 1]."""


@dataclass(frozen=True)
class Corruption:
    """A benign change.

    Attributes:
        change: The function that changes images.
        strengths: The strength at each of the five severities.
        about: The meaning of the strength, in words.
    """

    change: Change
    strengths: tuple[float, float, float, float, float]
    about: str


def corrupt(name: str, severity: int, images: Tensor) -> Tensor:
    """Return images (N, C, H, W) under a corruption, clipped to [0, 1]; random numbers depend on the image alone.

    Args:
        name: One of `CORRUPTIONS`.
        severity: Strength of the corruption, from 1 to 5.
        images: (N, C, H, W) in [0, 1], on the CPU.

    Raises:
        ValueError: If the name or the severity is unknown.

    Reference:
        Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
        arXiv 1903.12261; the strengths are those of their CIFAR-10-C where it has the corruption.
    """
    one_of(list(CORRUPTIONS), corruption=name)
    at_least(1, severity=severity)
    at_most(len(SEVERITIES), severity=severity)
    corruption = CORRUPTIONS[name]
    generators = Problem(nn.Identity(), images).generators()
    return corruption.change(images, corruption.strengths[severity - 1], generators).clamp(0, 1)


def _gaussian_noise(images: Tensor, deviation: float, generators: list[Generator]) -> Tensor:
    return images + deviation * _normal(images, generators)


def _speckle_noise(images: Tensor, deviation: float, generators: list[Generator]) -> Tensor:
    return images + images * deviation * _normal(images, generators)


def _shot_noise(images: Tensor, photons: float, generators: list[Generator]) -> Tensor:
    pairs = zip(images, generators, strict=True)
    return torch.stack([torch.poisson(image * photons, generator=generator) for image, generator in pairs]) / photons


def _impulse_noise(images: Tensor, share: float, generators: list[Generator]) -> Tensor:
    place = drawn(generators, *images.shape[1:])
    return torch.where(place < share / 2, 0.0, torch.where(place < share, 1.0, images))


def _normal(images: Tensor, generators: list[Generator]) -> Tensor:
    return drawn(generators, *images.shape[1:], draw=torch.randn)


def _gaussian_blur(images: Tensor, sigma: float, _: list[Generator]) -> Tensor:
    reach = min(2 * round(4 * sigma) + 1, *(2 * (size - 1) + 1 for size in images.shape[2:]))
    blurred: Tensor = transforms.gaussian_blur(images, [reach, reach], [sigma, sigma])
    return blurred


def _brightness(images: Tensor, change: float, _: list[Generator]) -> Tensor:
    """Shift the largest channel of each pixel, HSV's value, and keep hue and saturation."""
    value = images.amax(1, keepdim=True)
    shifted = (value + change).clamp(0, 1)
    return torch.where(value > 0, images * shifted / value.clamp(min=1e-8), shifted)


def _contrast(images: Tensor, factor: float, _: list[Generator]) -> Tensor:
    mean = images.mean((2, 3), keepdim=True)
    return mean + factor * (images - mean)


def _pixelate(images: Tensor, share: float, _: list[Generator]) -> Tensor:
    return _smaller(images, share, "area", "nearest")


def _resize(images: Tensor, share: float, _: list[Generator]) -> Tensor:
    return _smaller(images, share, "bilinear", "bilinear")


def _smaller(images: Tensor, share: float, down: str, up: str) -> Tensor:
    """Return images made smaller and then larger again."""
    height, width = images.shape[2:]
    options = {"antialias": True, "align_corners": False} if down == "bilinear" else {}
    small = functional.interpolate(images, (int(height * share), int(width * share)), mode=down, **options)
    return functional.interpolate(small, (height, width), mode=up, align_corners=False if up == "bilinear" else None)


def _jpeg(images: Tensor, quality: float, _: list[Generator]) -> Tensor:
    pixels = (images * 255).round().to(torch.uint8)
    return torch.stack([transforms.jpeg(image, int(quality)) for image in pixels]) / 255


def _rotate(images: Tensor, degrees: float, _: list[Generator]) -> Tensor:
    return _moved(images, angle=degrees)


def _translate(images: Tensor, share: float, _: list[Generator]) -> Tensor:
    return _moved(images, shift=[share * images.shape[3], share * images.shape[2]])


def _moved(images: Tensor, angle: float = 0.0, shift: list[float] | None = None) -> Tensor:
    """Return images turned or shifted; places from outside the image repeat the pixel at the border."""
    margin = max(images.shape[2:]) // 2
    padded = functional.pad(images, (margin,) * 4, mode="replicate")
    bilinear = transforms.InterpolationMode.BILINEAR
    turned = transforms.affine(
        padded, angle=angle, translate=shift or [0, 0], scale=1.0, shear=[0.0, 0.0], interpolation=bilinear
    )
    inside: Tensor = turned[:, :, margin:-margin, margin:-margin]
    return inside


CORRUPTIONS: Final[Mapping[str, Corruption]] = {
    "gaussian_noise": Corruption(_gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.1), "standard deviation"),
    "shot_noise": Corruption(_shot_noise, (500, 250, 100, 75, 50), "photons of a white pixel"),
    "impulse_noise": Corruption(_impulse_noise, (0.01, 0.02, 0.03, 0.05, 0.07), "share of the values"),
    "speckle_noise": Corruption(_speckle_noise, (0.06, 0.1, 0.12, 0.16, 0.2), "standard deviation, of the value"),
    "gaussian_blur": Corruption(_gaussian_blur, (0.4, 0.6, 0.7, 0.8, 1), "standard deviation in pixels"),
    "brightness": Corruption(_brightness, (0.05, 0.1, 0.15, 0.2, 0.3), "added to HSV's value"),
    "darkness": Corruption(_brightness, (-0.05, -0.1, -0.15, -0.2, -0.3), "added to HSV's value (not in CIFAR-10-C)"),
    "contrast": Corruption(_contrast, (0.75, 0.5, 0.4, 0.3, 0.15), "factor of the distance from the mean"),
    "pixelate": Corruption(_pixelate, (0.95, 0.9, 0.85, 0.75, 0.65), "share of the side"),
    "resize": Corruption(_resize, (0.95, 0.9, 0.85, 0.75, 0.65), "share of the side, bilinear (not in CIFAR-10-C)"),
    "jpeg": Corruption(_jpeg, (80, 65, 58, 50, 40), "quality"),
    "rotate": Corruption(_rotate, (2, 4, 6, 8, 10), "degrees (not in CIFAR-10-C)"),
    "translate": Corruption(_translate, (0.02, 0.04, 0.06, 0.08, 0.1), "share of the side (not in CIFAR-10-C)"),
}
"""By name."""
