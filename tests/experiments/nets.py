"""Classifiers that a user might bring."""

from torch import nn


class Wide(nn.Sequential):
    """A network for colour images of any size, with thirteen classes."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 13))


class Grey(nn.Sequential):
    """A network for grey images of any size, with ten classes."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


class Smooth(nn.Sequential):
    """A network for the digits without a ReLU."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(1, 4, 5), nn.GELU(), nn.Flatten(), nn.Linear(4 * 24 * 24, 10))
