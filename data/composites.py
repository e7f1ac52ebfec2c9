"""Images of two classes, made of images of one: two objects side by side."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class MultiLabel:
    """Images with several classes.

    Attributes:
        images: (M, C, H, W) in [0, 1].
        classes: The classes in each, at least two different ones.
    """

    images: Tensor
    classes: tuple[tuple[int, ...], ...]


def side_by_side(images: Tensor, labels: Tensor, seed: int = 0) -> MultiLabel:
    """Return images that show the middle halves of two images of different classes, left and right of each other.

    The halves are cut, not squeezed, so that what is seen keeps the scale that a classifier knows. Each image is used
    once at most.

    Args:
        images: (N, C, H, W) in [0, 1], W at least 2.
        labels: (N,).
        seed: Of the pairs.

    Returns:
        One for each pair; none if all images are of one class.

    Raises:
        ValueError: If the images are narrower than 2 pixels.
    """
    width = images.shape[3]
    if width < 2:  # noqa: PLR2004 - two halves
        msg = f"two objects side by side need images at least 2 pixels wide, got {width}"
        raise ValueError(msg)
    left, right = _pairs(labels, seed)
    first, second = width // 2, width - width // 2
    parts = (_middle(images[left], first), _middle(images[right], second))
    classes = zip(labels[left].tolist(), labels[right].tolist(), strict=True)
    return MultiLabel(torch.cat(parts, 3), tuple(classes))


def _middle(images: Tensor, width: int) -> Tensor:
    start = (images.shape[3] - width) // 2
    return images[..., start : start + width]


def _pairs(labels: Tensor, seed: int) -> tuple[list[int], list[int]]:
    """Return rows of disjoint pairs of different labels: each image, in a random order, joins one that waits."""
    left: list[int] = []
    right: list[int] = []
    waiting: list[int] = []  # all of one label
    for row in torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed)).tolist():
        if waiting and labels[waiting[0]] != labels[row]:
            left.append(waiting.pop(0))
            right.append(row)
        else:
            waiting.append(row)
    return left, right
