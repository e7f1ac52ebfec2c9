"""What the data loaders give: named tuples, whose first two fields any step can unpack."""

from typing import Any, NamedTuple

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
    """A batch of clean images and their adversarial twins: the first half is clean, twin i is row N + i.

    Attributes:
        images: (2N, C, H, W) float32 in [0, 1].
        is_adversarial: (2N,) bool.
        labels: (2N,) int64, the true classes.
        successful: (2N,) bool, for both of a pair: classified right before the attack and wrong after it.
        failed: (2N,) bool, for both of a pair: classified right before and after.
        positions: (2N,) int64, the position of the clean image in its data set.
    """

    images: Tensor
    is_adversarial: Tensor
    labels: Tensor
    successful: Tensor
    failed: Tensor
    positions: Tensor


class ImageSet(Dataset[Images]):
    """Images in memory as bytes; whole batches are read and scaled at once.

    Args:
        pixels: (M, C, H, W) uint8.
        labels: (M,) int64.
        positions: (M,) int64, positions in the data set.
    """

    def __init__(self, pixels: Tensor, labels: Tensor, positions: Tensor) -> None:
        self.pixels = pixels
        self.labels = labels
        self.positions = positions

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def __getitems__(self, rows: list[int]) -> Images:
        """Return a batch; the data loader calls this with the rows of one."""
        chosen = torch.as_tensor(rows)
        return Images(self.pixels[chosen].float() / 255, self.labels[chosen], self.positions[chosen])

    def __getitem__(self, row: int) -> Images:
        """Return a batch of one image."""
        return self.__getitems__([row])


def as_it_is(batch: Any) -> Any:
    """Collate: `ImageSet` gives whole batches already."""
    return batch
