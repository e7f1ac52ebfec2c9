"""Regions of images: superpixels, and segments large enough to attack."""

from typing import Final, Literal, get_args

import numpy as np
import torch
from skimage.segmentation import quickshift, slic
from torch import Tensor

from attacks.checks import one_of

Segmenter = Literal["auto", "quickshift", "slic"]
SEGMENTERS: Final[tuple[str, ...]] = get_args(Segmenter)

_FINE: Final = 224
"""Side in pixels from which LIME's quickshift makes enough superpixels."""

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

    Raises:
        ValueError: If there is no such segmenter.
    """
    one_of(SEGMENTERS, segmenter=segmenter)
    chosen = segmenter
    if segmenter == "auto":
        chosen = "quickshift" if min(images.shape[2:]) >= _FINE else "slic"
    found = []
    for image in colours(images):
        labels = _quickshift(image) if chosen == "quickshift" else _slic(image, segments)
        found.append(torch.from_numpy(np.unique(labels, return_inverse=True)[1].reshape(labels.shape)))
    return torch.stack(found).to(images.device) if found else torch.zeros(0, *images.shape[2:], dtype=torch.long)


def _quickshift(image: np.ndarray) -> np.ndarray:
    labels: np.ndarray = quickshift(image, kernel_size=4, max_dist=200, ratio=0.2, rng=0)  # type: ignore[no-untyped-call]
    return labels


def _slic(image: np.ndarray, segments: int) -> np.ndarray:
    """Return superpixels (H, W), compact enough that noise does not merge more than half of them."""
    for compactness in _COMPACTNESS:
        labels: np.ndarray = slic(image, n_segments=segments, compactness=compactness, start_label=0)
        if 2 * len(np.unique(labels)) >= segments:
            break
    return labels


def colours(images: Tensor) -> list[np.ndarray]:
    """Return images (N, C, H, W) in [0, 1] as scikit-image takes them, (H, W, 3) each; grey ones are repeated."""
    whole = images.detach().cpu().expand(-1, 3, -1, -1) if images.shape[1] == 1 else images.detach().cpu()
    return [image.permute(1, 2, 0).double().numpy() for image in whole]
