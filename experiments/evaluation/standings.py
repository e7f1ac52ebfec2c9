"""How well each detector finds attacks that it was not trained on, from the rows of the detection matrix."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from statistics import fmean
from typing import Any, Final

from experiments.detection.transfer.records import Cell, compared
from experiments.results.bootstrap import Interval, clopper_pearson, half_width

Row = Mapping[str, Any]

FIELDS: Final = (
    *("detector", "trained_on", "tested_on", "seed", "subset", "n"),
    *("auroc", "tpr_at_5_fpr", "realised_fpr", "attack_success_rate", "auroc_against_noise"),
)
"""What is read of a row; an older version may lack some."""


@dataclass(frozen=True)
class DetectorMeans:
    """A detector's means over cells, the same cells for all detectors.

    Attributes:
        pairs: The fewest of a cell.
        auroc: Adversarial images against clean ones.
        found: Share of the adversarial images above the threshold at 5 % false positives; None: there is none.
        flagged: Share of the clean test images above it.
        against_noise: AUROC of adversarial images against noise of the same norms; None: not known.
    """

    detector: str
    pairs: int
    auroc: Interval
    found: Interval | None
    flagged: Interval | None
    against_noise: float | None


def standings(rows: Sequence[Row], images: int) -> list[DetectorMeans]:
    """Return all detectors, the best by AUROC first, on the cells that all of them have.

    These are the cells of `compared`, as in the protocol's own ranking.

    Args:
        rows: JSON records of one subset of the pairs, with the `FIELDS`.
        images: Number of clean test images.
    """
    by_cell: dict[Cell, list[Row]] = {}
    for row in rows:
        if row["auroc"] is not None:
            by_cell.setdefault(Cell(row["detector"], row["trained_on"], row["tested_on"]), []).append(row)
    cells = compared(by_cell, {row["tested_on"] for row in rows})
    means = [_means_of(detector, [by_cell[cell] for cell in mine], images) for detector, mine in cells.items()]
    return sorted(means, key=lambda detector: detector.auroc.value, reverse=True)


def _means_of(detector: str, cells: Sequence[Sequence[Row]], images: int) -> DetectorMeans:
    pairs = min(row["n"] for rows in cells for row in rows)
    return DetectorMeans(
        detector,
        pairs,
        _over_seeds(_auroc_of(cells, pairs), cells, "auroc"),
        _rate_of(cells, "tpr_at_5_fpr", pairs),
        _rate_of(cells, "realised_fpr", images),
        _mean(cells, "auroc_against_noise"),
    )


def _auroc_of(cells: Sequence[Sequence[Row]], pairs: int) -> Interval:
    """Return the mean AUROC with the mean ends of its intervals: wide enough, as if cells erred together."""
    value = fmean(fmean(row["auroc"] for row in rows) for rows in cells)
    low, high = (_mean(cells, key) for key in ("auroc_low", "auroc_high"))
    unknown = low is None or high is None or low == high  # where all resamples are separated
    return clopper_pearson(value, pairs) if unknown else Interval(value, low, high)  # type: ignore[arg-type]


def _mean(cells: Iterable[Sequence[Row]], key: str) -> float | None:
    """Return a field's mean over cells of its means over seeds; None where a cell lacks it."""
    values: list[list[Any]] = [[row.get(key) for row in rows] for rows in cells]
    return None if any(None in of_cell for of_cell in values) else fmean(fmean(of_cell) for of_cell in values)


def _rate_of(cells: Sequence[Sequence[Row]], key: str, images: int) -> Interval | None:
    """Return the mean of rates of the same images: at least as certain as one rate of as many images."""
    value = _mean(cells, key)
    return None if value is None else _over_seeds(clopper_pearson(value, images), cells, key)


def _over_seeds(over_images: Interval, cells: Iterable[Sequence[Row]], key: str) -> Interval:
    """Widen an interval over images by Student's t over the seeds' means, within [0, 1]."""
    seeds: dict[Any, list[float]] = {}
    for row in (row for rows in cells for row in rows):
        seeds.setdefault(row["seed"], []).append(row[key])
    apart = half_width(list(map(fmean, seeds.values())))
    value = over_images.value
    low, high = (hypot(end - value, apart) for end in (over_images.low, over_images.high))
    return Interval(value, max(0.0, value - low), min(1.0, value + high))
