"""The records of the gallery: the shown images with their classes, scores and maps, and the similarity of maps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from experiments.results.two_samples import Comparison
from experiments.results.verdicts import FEWEST

SAME_LOOK: Final = 0.9
"""Mean structural similarity from which two maps are said to look the same."""

SUBSETS: Final = ("all", "successful")


@dataclass(frozen=True)
class MapKind:
    """A kind of map: its name, its title in a sentence, its values, and how a grid shows it."""

    name: str
    title: str
    scale: str
    shown: str


@dataclass(frozen=True)
class ShownImages:
    """The shown images, clean or under one attack.

    Attributes:
        confidences: Softmax of these.
        captions: The caption of each map, by kind.
        shifts: L2 distance of each map from the clean image's, by kind; None for the clean images.
        margins: Score minus threshold by (detector, trained on); None where there is no threshold.
    """

    predictions: Sequence[int]
    confidences: Sequence[float]
    captions: Mapping[str, Sequence[str]]
    shifts: Mapping[str, Sequence[float] | None]
    margins: Mapping[tuple[str, str], Sequence[float] | None]


@dataclass(frozen=True)
class GalleryRecords:
    """What grids and tables share.

    Attributes:
        places: The images' places in the test split.
        attacks: Their settings in words.
        fooled: How many images each attack fools.
        trained_on: The attack of the detectors whose scores the grids print; None: there are no detectors.
        seed: The training seed of the detectors.
        likeness: How alike the maps of all test images look, by kind, attack and subset.
    """

    kinds: Sequence[MapKind]
    places: Sequence[int]
    labels: Sequence[int]
    classes: Sequence[str]
    clean: ShownImages
    attacked: Mapping[str, ShownImages]
    attacks: Mapping[str, str]
    fooled: Mapping[str, int]
    trained_on: str | None
    seed: int
    likeness: Sequence[Mapping[str, Any]]

    def rows(self) -> list[dict[str, Any]]:
        """Return two rows per attack and image: the clean one, and the adversarial one."""
        return [
            self._row(attack, version, shown, number)
            for attack, attacked in self.attacked.items()
            for number in range(len(self.places))
            for version, shown in (("clean", self.clean), ("adversarial", attacked))
        ]

    def _row(self, attack: str, version: str, shown: ShownImages, number: int) -> dict[str, Any]:
        fields = {f"{kind}_shift": values for kind, values in shown.shifts.items()}
        fields |= {f"{detector}_on_{attack}_margin": values for (detector, attack), values in shown.margins.items()}
        return {
            "image": self.places[number],
            "attack": attack,
            "version": version,
            "label": self.labels[number],
            "prediction": shown.predictions[number],
            "confidence": shown.confidences[number],
            **{name: None if values is None else values[number] for name, values in fields.items()},
        }


def look(similarity: float | None, comparison: Comparison) -> str | None:
    """Return in words how alike maps look, by their mean structural similarity and its comparison with other pairs."""
    if similarity is None:
        return None
    if comparison.n < FEWEST:
        return f"not decided (fewer than {FEWEST} pairs)"
    if similarity >= SAME_LOOK:
        return "the same"
    words = {"larger": "more alike than", "smaller": "less alike than", "as large": "as different as"}
    undecided = "not surely more alike or less alike than"
    return f"{words.get(comparison.verdict or '', undecided)} those of different images"
