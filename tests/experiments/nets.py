"""Classifiers that a user might bring."""

from torch import nn


class Wide(nn.Sequential):
    """A network for colour images of any size, with thirteen classes."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 13))
