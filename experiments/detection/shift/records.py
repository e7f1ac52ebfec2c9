"""The records of the shift study: distances between saliency maps, by attack and sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

FULL: Final = "natural - adversarial"
FIXED: Final = "adversarial, clean class"
SWAPPED: Final = "clean, adversarial class"
NOISE: Final = "norm-matched noise"
SAME: Final = "same class"
DIFFERENT: Final = "different images"

SUBSETS: Final = ("all", "successful")


@dataclass(frozen=True)
class ShiftRecords:
    """The L2 distances of one kind of map.

    Attributes:
        title: Its name in a sentence.
        scale: The range of its values, and the unit of distances between maps.
        different: Distances in pairs of different natural images.
        distances: From the natural image's map, by attack (None: no attack is involved), sample and subset.
        successful: How many of the compared images each attack fools.
        rows: A row for each attack, sample and subset.
        repeated: The largest distance between maps of the same images made twice.
    """

    name: str
    title: str
    scale: str
    different: Sequence[float]
    distances: Mapping[tuple[str | None, str, str], Sequence[float]]
    successful: Mapping[str, int]
    rows: Sequence[dict[str, Any]]
    repeated: float
