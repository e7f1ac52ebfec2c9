"""Replaces masked pixels during the training of the saliency model.

Reference: Dabkowski & Gal (2017), section 3.2; amplitudes as in the authors' code, halved, since images are in [0, 1]
here and in [-1, 1] there.
"""

from typing import Literal

import torch
from torch import Generator, Tensor
from torchvision.transforms.v2 import functional as transforms

Fill = Literal["mix", "blur", "colour", "zero"]

IMAGE_NOISE = 0.015
COLOUR_RANGE = 0.165
COLOUR_NOISE = 0.055
BLUR_SIGMA = 0.25
"""Standard deviation of the blur as a share of the image's shorter side. The authors' 11 pixels of 224 are .05: at
28x28 that leaves digits legible, so that destroying one would not show."""


def compose(
    images: Tensor,
    masks: Tensor,
    fill: Fill,
    generator: Generator | None = None,
    blur_sigma: float = BLUR_SIGMA,
    blurred: Tensor | None = None,
) -> Tensor:
    r"""Return :math:`\Phi(x, M) = x M + A (1 - M)` with replacement pixels A, and a little noise on x.

    Args:
        images: (N, C, H, W) in [0, 1].
        masks: (N, 1, H, W) in [0, 1]; 1 keeps the pixel.
        fill: blur: the blurred image; colour: one random colour per image, with noise; mix: one of the two per
            image, by chance; zero: black, without noise (an ablation).
        generator: Source of the randomness.
        blur_sigma: Standard deviation of the blur as a share of the shorter side.
        blurred: `blur(images, blur_sigma)`, if it is known.
    """
    if fill == "zero":
        return images * masks
    noisy = images + IMAGE_NOISE * _normal(images.shape, images, generator)
    return (noisy * masks + _replacement(images, fill, generator, blur_sigma, blurred) * (1 - masks)).clamp(0, 1)


def _replacement(
    images: Tensor, fill: Fill, generator: Generator | None, blur_sigma: float, blurred: Tensor | None
) -> Tensor:
    if blurred is None and fill != "colour":
        blurred = blur(images, blur_sigma)
    if blurred is not None and fill == "blur":
        return blurred
    count, channels = images.shape[:2]
    colour = 0.5 + COLOUR_RANGE * (2 * _uniform((count, channels, 1, 1), images, generator) - 1)
    colour = colour + COLOUR_NOISE * _normal(images.shape, images, generator)
    if blurred is None or fill == "colour":
        return colour
    chosen = _uniform((count, 1, 1, 1), images, generator) < 0.5  # noqa: PLR2004 - even chances
    return torch.where(chosen, blurred, colour)


def blur(images: Tensor, blur_sigma: float) -> Tensor:
    """Return images (N, C, H, W), blurred; `blur_sigma` as of `compose`.

    The blur is linear, first along the columns, then along the rows: two matrices, which are the blurred unit vectors.
    With a kernel larger than the image, the convolution would take hundreds of times as long.
    """
    sigma = blur_sigma * min(images.shape[2:])
    reach = min(int(3 * sigma + 0.5), min(images.shape[2:]) - 1)
    units = (torch.eye(side, dtype=images.dtype, device=images.device) for side in images.shape[2:])
    down, right = (transforms.gaussian_blur(each[None], [1, 2 * reach + 1], [sigma] * 2)[0] for each in units)
    blurred: Tensor = down @ images @ right.T
    return blurred


def _normal(shape: tuple[int, ...], like: Tensor, generator: Generator | None) -> Tensor:
    return torch.randn(shape, generator=generator, device=like.device, dtype=like.dtype)


def _uniform(shape: tuple[int, ...], like: Tensor, generator: Generator | None) -> Tensor:
    return torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype)
