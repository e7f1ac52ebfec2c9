"""Batches, as named tuples whose first two fields any step can unpack, and the data set that gives them."""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset


class Images(NamedTuple):
    """A batch of images.

    Attributes:
        images: (N, C, H, W) float32 in [0, 1].
        labels: (N,) int64.
        positions: (N,) int64, the position of each image in its data set.
    """

    images: Tensor
    labels: Tensor
    positions: Tensor


class Pairs(NamedTuple):
    """A batch of N clean images and their adversarial images: those of image i are rows i and N + i.

    Attributes:
        images: (2N, C, H, W) float32 in [0, 1].
        is_adversarial: (2N,) bool.
        labels: (2N,) int64, the true classes.
        successful: (2N,) bool, for both of a pair: classified correctly before the attack and wrongly after it.
        failed: (2N,) bool, for both of a pair: classified correctly before and after.
        positions: (2N,) int64, the position of the clean image in its data set.
        explanation: (2N, c, H, W), the stored maps or Jacobians of the images; c is 0 where none are stored.
    """

    images: Tensor
    is_adversarial: Tensor
    labels: Tensor
    successful: Tensor
    failed: Tensor
    positions: Tensor
    explanation: Tensor


class Pixels(Protocol):
    """Images as bytes: a tensor in memory, one mapped from a file, or files that are decoded on reading."""

    def __getitem__(self, positions: Tensor, /) -> Tensor:
        """Return the images (n, C, H, W) uint8 at positions (n,) int64."""


class ImageSet(Dataset[Images]):
    """A split of a data set. Whole batches are read and scaled at once; splits share the pixels.

    Args:
        pixels: All images (C, H, W) uint8 of the data set.
        labels: (M,) int64, of the split.
        positions: (M,) int64, of the split's images in `pixels`.
    """

    def __init__(self, pixels: Pixels, labels: Tensor, positions: Tensor) -> None:
        self.pixels = pixels
        self.labels = labels
        self.positions = positions

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def __getitems__(self, rows: list[int]) -> Images:
        """Return a batch; the data loader calls this with the rows of one."""
        chosen = torch.as_tensor(rows)
        positions = self.positions[chosen]
        return Images(self.pixels[positions].float().div_(255), self.labels[chosen], positions)

    def __getitem__(self, row: int) -> Images:
        """Return a batch of one image."""
        return self.__getitems__([row])


def as_it_is(batch: Any) -> Any:
    """Collate nothing: `ImageSet` gives whole batches already."""
    return batch
