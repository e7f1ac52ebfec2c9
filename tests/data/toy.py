"""A data module of made-up images, small enough for every test."""

from typing import ClassVar

import torch

from data import ImageData
from tests.fixtures import CLASSES, SHAPE

COUNT = 200


class Toy(ImageData):
    """Two hundred images; each image's first two bytes say its position. Counts how often it was read."""

    shape: ClassVar[tuple[int, int, int]] = SHAPE
    classes: ClassVar[int] = CLASSES
    reads = 0
    test_from: ClassVar[int | None] = None

    def read(self):
        self.reads += 1
        generator = torch.Generator().manual_seed(1)
        pixels = torch.randint(256, (COUNT, *SHAPE), generator=generator, dtype=torch.uint8)
        pixels[:, 0, 0, 0] = torch.arange(COUNT)
        is_test = None if self.test_from is None else torch.arange(COUNT) >= self.test_from
        return pixels, torch.arange(COUNT) % CLASSES, is_test


class ToyWithTest(Toy):
    """The same, whose last sixty images come as test images."""

    test_from = 140


def positions(loader):
    """Return the positions of all images of a loader, in its order."""
    return torch.cat([batch.positions for batch in loader]).tolist()


class LargeToy(ImageData):
    """Four thousand images: more than one shard of each split."""

    shape: ClassVar[tuple[int, int, int]] = SHAPE
    classes: ClassVar[int] = CLASSES

    def read(self):
        generator = torch.Generator().manual_seed(2)
        pixels = torch.randint(256, (4000, *SHAPE), generator=generator, dtype=torch.uint8)
        return pixels, torch.arange(4000) % CLASSES, None
