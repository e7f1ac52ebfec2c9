"""Regions of images: superpixels, and segments large enough to attack."""

from collections.abc import Callable
from functools import partial
from typing import Final, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from attacks.checks import at_least, one_of

Segmenter = Literal["auto", "quickshift", "slic"]
SEGMENTERS: Final[tuple[str, ...]] = get_args(Segmenter)

_FINE: Final = 224
"""Side in pixels from which LIME's quickshift makes enough superpixels."""

SHARES: Final = (0.01, 0.5)
"""Smallest and largest share of an image's pixels that a region to attack has."""

_COARSENESS: Final = 18
"""Felzenszwalb's scale over the square root of the image's side: chosen by looking at photographs of 32, 112 and 299
pixels, whose segments are as many and alike."""

_SMOOTHING: Final = 0.8
"""Standard deviation in pixels of the blur before segmentation: its authors' value."""

_COMPACTNESS: Final = (10, 100, 1000)
"""Weights of the distance against the colour, until there are superpixels enough; the last one makes a grid."""


def superpixels(images: Tensor, segmenter: Segmenter = "auto", segments: int = 64) -> Tensor:
    """Return the superpixel that each pixel belongs to, (N, H, W), numbered from 0 on in each image.

    Args:
        images: (N, C, H, W) in [0, 1].
        segmenter: quickshift, as LIME's authors set it (kernel size 4, distance 200, ratio .2); slic, with about as
            many superpixels as asked for, more compact where noise would merge them; auto: quickshift from 224 pixels
            on, for it finds one superpixel in small images.
        segments: About how many superpixels slic makes.
    """
    one_of(SEGMENTERS, segmenter=segmenter)
    chosen = segmenter
    if segmenter == "auto":
        chosen = "quickshift" if min(images.shape[2:]) >= _FINE else "slic"
    segment = _quickshift if chosen == "quickshift" else partial(_slic, segments=segments)
    return _stacked(images, lambda image: np.unique(segment(image), return_inverse=True)[1].reshape(image.shape[:2]))


def _quickshift(image: np.ndarray) -> np.ndarray:
    from skimage.segmentation import quickshift  # noqa: PLC0415

    labels: np.ndarray = quickshift(image, kernel_size=4, max_dist=200, ratio=0.2, rng=0)  # type: ignore[no-untyped-call]
    return labels


def _slic(image: np.ndarray, segments: int) -> np.ndarray:
    """Return superpixels (H, W), compact enough that noise does not merge more than half of them."""
    from skimage.segmentation import slic  # noqa: PLC0415

    for compactness in _COMPACTNESS:
        labels: np.ndarray = slic(image, n_segments=segments, compactness=compactness, start_label=0)
        if 2 * len(np.unique(labels)) >= segments:
            break
    return labels


def colours(images: Tensor) -> list[np.ndarray]:
    """Return images (N, C, H, W) in [0, 1] as scikit-image takes them, (H, W, 3) each; grey ones are repeated."""
    whole = images.detach().cpu().expand(-1, 3, -1, -1) if images.shape[1] == 1 else images.detach().cpu()
    return [image.permute(1, 2, 0).double().numpy() for image in whole]


def segments(images: Tensor) -> Tensor:
    """Return the segment that each pixel belongs to, (N, H, W), numbered from 0 on in each image.

    Coarse: natural images of 32 to 299 pixels fall into about 5 to 25 segments, which are objects or their parts.

    Args:
        images: (N, C, H, W) in [0, 1].

    Reference: Felzenszwalb & Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 59 (2004). By scikit-image.
    """
    from skimage.segmentation import felzenszwalb  # noqa: PLC0415

    height, width = images.shape[2:]
    scale = _COARSENESS * (height * width) ** 0.25
    smallest = max(1, round(SHARES[0] * height * width))
    return _stacked(images, lambda image: felzenszwalb(image, scale=scale, sigma=_SMOOTHING, min_size=smallest))


def _stacked(images: Tensor, segment: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """Return the labels (N, H, W) that a function gives to the pixels of each image."""
    labels = [torch.from_numpy(segment(image)).long() for image in colours(images)]
    return torch.stack(labels).to(images.device) if labels else images.new_zeros(0, *images.shape[2:], dtype=torch.long)


def largest(labels: Tensor, regions: int = 10) -> Tensor:
    """Return the largest segments of an image, (k, H, W) bool, k at most `regions`, the largest first.

    Left out are those whose share of the pixels is not within `SHARES`: specks, where hardly any attack succeeds, and a
    background larger than all else, which anything would recover.

    Args:
        labels: (H, W), the segment that each pixel belongs to, numbered from 0 on.
        regions: How many at most; at least 1.
    """
    at_least(1, regions=regions)
    sizes = torch.bincount(labels.flatten())
    low, high = (share * labels.numel() for share in SHARES)
    order = sizes.argsort(descending=True, stable=True)
    kept = order[(sizes[order] >= low) & (sizes[order] <= high)][:regions]
    return labels == kept[:, None, None]
