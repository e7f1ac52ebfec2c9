"""The records of the threshold study: a row for each detector, attack, epsilon and subset of the pairs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from experiments.results.bootstrap import PlainStatistic

SUBSETS: Final = ("all", "successful")

Points = Mapping[float, Sequence["ThresholdRow"]]
"""The rows of all seeds by epsilon, in the rows' order."""

Curves = Mapping[tuple[str, str, str | None, str], Points]
"""By attack, detector, trained on and subset."""

Point = tuple[str, str, str | None, str, float]
"""Attack, detector, trained on, subset and epsilon."""


@dataclass(frozen=True)
class ThresholdRow:
    """A detector under an attack at one epsilon, on a subset of the pairs.

    Attributes:
        trained_on: The name of the attack it was trained on; None: training-free.
        seed: The seed of its training; None: training-free.
        subset: The subset of the pairs: all or successful.
        n: The number of pairs in the subset.
        metrics: The values of `study.metrics.METRICS`, by key; None where one is not defined.
        median_l2: The median L2 norm of the changes; None: no pairs.
        median_rms: The median root mean square of the changes; None: no pairs.
        attack_success_rate: The share of the images classified right that the attack turns wrong; None: no images.
        right_before: The number of images that the classifier gets right.
    """

    detector: str
    trained_on: str | None
    seed: int | None
    attack: str
    epsilon: float
    subset: str
    n: int
    metrics: Mapping[str, float | None]
    median_l2: float | None
    median_rms: float | None
    attack_success_rate: float | None
    right_before: int

    def value(self, name: str) -> float | None:
        """Return a metric or another number of the row, by its key in JSON."""
        return self.metrics[name] if name in self.metrics else getattr(self, name)


@dataclass(frozen=True)
class ThresholdRecords:
    """The measurements of the threshold study.

    Attributes:
        rows: One for each attack, epsilon, detector, seed and subset of the pairs.
        areas: The mean AUROC over seeds.
        noise_ratios: See `images.noise_ratios`, by attack and epsilon.
    """

    rows: Sequence[ThresholdRow]
    areas: Mapping[Point, PlainStatistic]
    noise_ratios: Mapping[str, Mapping[str, float | None]]


def curves_of(rows: Iterable[ThresholdRow]) -> Curves:
    """Return the rows of all seeds, by curve and by epsilon, in their order."""
    curves: dict[tuple[str, str, str | None, str], dict[float, list[ThresholdRow]]] = {}
    for row in rows:
        key = row.attack, row.detector, row.trained_on, row.subset
        curves.setdefault(key, {}).setdefault(row.epsilon, []).append(row)
    return curves


def values_of(rows: Sequence[ThresholdRow], name: str) -> list[float]:
    """Return the defined values of a number, by seed."""
    return [value for row in rows if (value := row.value(name)) is not None]
