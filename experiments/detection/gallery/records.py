"""The records of the gallery: the shown images with their classes, scores and maps, and the similarity of maps."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from torch import Tensor

from experiments.results.two_samples import Comparison, compare, mean
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
        images: (n, C, H, W).
        predictions: (n,) classes.
        confidences: (n,) softmax of these.
        maps: (n, 1, H, W) in [0, 1] by kind, as a grid shows them.
        captions: The caption of each map, by kind.
        shifts: (n,) L2 distance of each map from the clean image's, by kind; None for the clean images.
        margins: (n,) score minus threshold by (detector, trained on); None where there is no threshold.
    """

    images: Tensor
    predictions: Tensor
    confidences: Tensor
    maps: Mapping[str, Tensor]
    captions: Mapping[str, Sequence[str]]
    shifts: Mapping[str, Tensor | None]
    margins: Mapping[tuple[str, str], Tensor | None]


@dataclass(frozen=True)
class GalleryRecords:
    """What grids and tables share.

    Attributes:
        kinds: The kinds of maps.
        places: (n,) of the images in the test split.
        labels: (n,), the true classes.
        classes: Names of all classes.
        clean: The clean images.
        attacked: The adversarial ones by attack.
        attacks: Their settings in words.
        fooled: (n,) bool by attack, whether it succeeds.
        trained_on: The attack of the detectors whose scores the grids print; None: there are no detectors.
        seed: The training seed of the detectors.
        likeness: See `likeness_rows`.
    """

    kinds: Sequence[MapKind]
    places: Tensor
    labels: Tensor
    classes: Sequence[str]
    clean: ShownImages
    attacked: Mapping[str, ShownImages]
    attacks: Mapping[str, str]
    fooled: Mapping[str, Tensor]
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
            "image": int(self.places[number]),
            "attack": attack,
            "version": version,
            "label": int(self.labels[number]),
            "prediction": int(shown.predictions[number]),
            "confidence": shown.confidences[number].item(),
            **{name: None if values is None else values[number].item() for name, values in fields.items()},
        }


Similarities = tuple[Tensor, Tensor]
"""Cosine and structural similarities (n,) of pairs of maps."""


def likeness_rows(
    kind: str, attack: str, subsets: Mapping[str, Tensor], near: Similarities, apart: Similarities, resamples: int
) -> list[dict[str, Any]]:
    """Return how alike maps look in each subset, (n,) bool, of pairs: near are clean and adversarial, apart others."""
    rows = []
    for subset, pairs in subsets.items():
        similarity, comparison = mean(near[1][pairs]), compare(near[1][pairs], apart[1], resamples)
        rows.append(
            {
                "map": kind,
                "attack": attack,
                "subset": subset,
                "cosine": mean(near[0][pairs]),
                "cosine_different": mean(apart[0]),
                "ssim": similarity,
                "ssim_different": mean(apart[1]),
                **asdict(comparison),
                "look": look(similarity, comparison),
            }
        )
    return rows


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
