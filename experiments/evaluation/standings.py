"""How well each detector finds attacks that it was not trained on, from the rows of the detection matrix."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, Final

from scipy import stats

from experiments.results.bootstrap import LEVEL, Interval

Row = Mapping[str, Any]

Cell = tuple[str | None, str]
"""The attack trained on, None for a training-free detector, and the attack tested on."""

Line = dict[Cell, list[Row]]
"""The rows of a detector, one for each seed."""

FIELDS: Final = (
    *("detector", "trained_on", "tested_on", "seed", "subset", "n"),
    *("auroc", "tpr_at_5_fpr", "realised_fpr", "attack_success_rate", "auroc_against_noise"),
)
"""What is read of a row; an older version may lack some."""


@dataclass(frozen=True)
class Standing:
    """A detector's means over cells, the same cells for all detectors.

    Attributes:
        detector: Its name.
        images: In each cell.
        auroc: Adversarial images against clean ones.
        found: Share of the adversarial images above the threshold at 5 % false positives; None: there is none.
        flagged: Share of the clean test images above it.
        against_noise: AUROC of adversarial images against noise of the same norms; None: not known.
    """

    detector: str
    images: int
    auroc: Interval
    found: Interval | None
    flagged: Interval | None
    against_noise: float | None


def standings(rows: Sequence[Row]) -> list[Standing]:
    """Return all detectors, the best by AUROC first, on the cells that all of them have.

    A cell is an attack trained on and another one tested on. A training-free detector stands beside every cell of the
    trained ones: its row counts once for each attack trained on. Detectors trained on several attacks are left out.

    Args:
        rows: Of all pairs, with the `FIELDS`.
    """
    lines = _lines(rows)
    free = {name: line for name, line in lines.items() if any(trained_on is None for trained_on, _ in line)}
    cells = _common(lines, free)
    found = []
    for name, line in lines.items() if cells else ():
        own = [(None, tested_on) for _, tested_on in cells] if name in free else cells
        found.append(_standing(name, [line[cell] for cell in own]))
    return sorted(found, key=lambda each: each.auroc.value, reverse=True)


def _common(lines: Mapping[str, Line], free: Mapping[str, Line]) -> list[Cell]:
    """Return the cells that every detector has: those of the trained ones, if there are any."""
    trained = [line for name, line in lines.items() if name not in free]
    cells = set.intersection(*map(set, trained or free.values())) if lines else set()
    return sorted((cell for cell in cells if all((None, cell[1]) in line for line in free.values())), key=str)


def _lines(rows: Iterable[Row]) -> dict[str, Line]:
    """Return the rows with an AUROC by detector and cell, where the detector was not trained on the attack."""
    rows = list(rows)
    trained_on = {None, *(row["tested_on"] for row in rows)}
    lines: dict[str, Line] = {}
    for row in rows:
        cell = row["trained_on"], row["tested_on"]
        if cell[0] in trained_on and cell[0] != cell[1] and row["auroc"] is not None:
            lines.setdefault(row["detector"], {}).setdefault(cell, []).append(row)
    return lines


def _standing(detector: str, cells: Sequence[Sequence[Row]]) -> Standing:
    images = min(row["n"] for rows in cells for row in rows)
    return Standing(
        detector,
        images,
        _over_seeds(Interval(*(_end(cells, key) for key in ("auroc", "auroc_low", "auroc_high"))), cells, "auroc"),
        _rate_of(cells, "tpr_at_5_fpr", images),
        _rate_of(cells, "realised_fpr", images),
        _mean(cells, "auroc_against_noise"),
    )


def _end(cells: Iterable[Sequence[Row]], key: str) -> float:
    """Return the mean of the AUROC, or of an end of its interval: wide enough, as if cells erred together."""
    return fmean(fmean(row["auroc"] if row.get(key) is None else row[key] for row in rows) for rows in cells)


def _mean(cells: Iterable[Sequence[Row]], key: str) -> float | None:
    """Return a field's mean over cells of its means over seeds; None where a cell lacks it."""
    values = [[row[key] for row in rows] for rows in cells]
    return None if any(None in of_cell for of_cell in values) else fmean(fmean(of_cell) for of_cell in values)


def _rate_of(cells: Sequence[Sequence[Row]], key: str, images: int) -> Interval | None:
    """Return a mean of rates of the same images, which is at least as certain as one rate of so many images."""
    value = _mean(cells, key)
    return None if value is None else _over_seeds(rate(value, images), cells, key)


def rate(value: float, images: int) -> Interval:
    """Return a share of so many images with its 95 % interval (Wilson)."""
    ends = stats.binomtest(round(value * images), images).proportion_ci(LEVEL, method="wilson")
    return Interval(value, min(float(ends.low), value), max(float(ends.high), value))


def _over_seeds(over_images: Interval, cells: Iterable[Sequence[Row]], key: str) -> Interval:
    """Widen an interval over images by Student's t over the seeds' means, within [0, 1]."""
    seeds: dict[Any, list[float]] = {}
    for row in (row for rows in cells for row in rows):
        seeds.setdefault(row["seed"], []).append(row[key])
    if len(seeds) == 1:
        return over_images
    apart = float(stats.t.ppf((1 + LEVEL) / 2, len(seeds) - 1)) * stdev(map(fmean, seeds.values())) / len(seeds) ** 0.5
    value = over_images.value
    low, high = ((abs(end - value) ** 2 + apart**2) ** 0.5 for end in (over_images.low, over_images.high))
    return Interval(value, max(0.0, value - low), min(1.0, value + high))
