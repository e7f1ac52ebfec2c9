"""Reduces attributions of several channels to maps of one."""

from collections.abc import Callable
from typing import Final, Literal

from torch import Tensor

Reduction = Literal["max", "l1", "positive", "mean"]

_OF: Final[dict[Reduction, Callable[[Tensor], Tensor]]] = {
    "max": lambda maps: maps.abs().amax(1, keepdim=True),
    "l1": lambda maps: maps.abs().sum(1, keepdim=True),
    "positive": lambda maps: maps.clamp_min(0).sum(1, keepdim=True),
    "mean": lambda maps: maps.mean(1, keepdim=True),
}

REDUCTIONS: Final[tuple[str, ...]] = tuple(_OF)


def reduce(attributions: Tensor, reduction: Reduction) -> Tensor:
    """Return maps (N, 1, H, W) of attributions (N, C, H, W).

    Args:
        attributions: Signed attributions.
        reduction: max: the largest absolute value (Simonyan et al., 2013); l1: the sum of absolute values; positive:
            the sum of what is above 0 (Goepfert et al., 2019, section 4); mean: with sign.
    """
    return _OF[reduction](attributions)
