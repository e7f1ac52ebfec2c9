"""The records of the detection matrix: its rows, AUROCs with their resamples, and facts about the attacks."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from statistics import fmean
from typing import Any, Final

from experiments.results.bootstrap import Interval, PlainStatistic, clopper_pearson
from experiments.results.records import Record, mean_known

UNTRAINED: Final = "-"
"""Stands for trained_on in the summary of a training-free detector."""

ORACLE: Final = " (true label)"
"""Suffix of detectors that get the map of the true class, which a real detector does not know."""

Line = tuple[str, str]
"""A detector, and the name of the attack it was trained on or `UNTRAINED`."""


@dataclass(frozen=True)
class Cell:
    """A detector, the name of the attack it was trained on (None: training-free), and the attack it is tested on."""

    detector: str
    trained_on: str | None
    tested_on: str

    @property
    def unseen(self) -> bool:
        """Whether the detector was not trained on the attack."""
        return self.trained_on != self.tested_on


@dataclass(frozen=True)
class TransferRow:
    """A detector under an attack, on a subset of the pairs.

    Attributes:
        trained_on: The name of the attack it was trained on; None: training-free.
        seed: The seed of its training; None: training-free.
        subset: The subset of the pairs: all, successful or failed.
        n: The number of pairs in the subset.
        metrics: The values of `study.metrics.METRICS`, by key; None where one is not defined.
    """

    detector: str
    trained_on: str | None
    tested_on: str
    seed: int | None
    subset: str
    n: int
    metrics: Mapping[str, float | None]

    @property
    def line(self) -> Line:
        """The line of the matrix that the row belongs to."""
        return self.detector, self.trained_on or UNTRAINED


_KEYS: Final = tuple(field.name for field in fields(TransferRow) if field.name != "metrics")


def read(records: Iterable[Record]) -> list[TransferRow]:
    """Return the rows of a JSON file; metrics may be missing from one that an older version wrote."""
    rows = []
    for record in records:
        keys: dict[str, Any] = {name: record.get(name) for name in _KEYS}
        rows.append(TransferRow(**keys, metrics={key: value for key, value in record.items() if key not in _KEYS}))
    return rows


@dataclass(frozen=True)
class Standing:
    """A detector's results on attacks that it was not trained on.

    Attributes:
        detector: Its name.
        learnt: Whether it was trained on an attack.
        area: Mean AUROC against clean images.
        against_noise: Mean AUROC against noise of the same norms.
        worst: The cell of the lowest AUROC.
        lowest: That AUROC.
        cells: How many the means are over.
    """

    detector: str
    learnt: bool
    area: PlainStatistic
    against_noise: PlainStatistic
    worst: Cell
    lowest: float
    cells: int


@dataclass(frozen=True)
class Ranking:
    """Detectors compared on attacks that they were not trained on, best first.

    Attributes:
        subset: The subset of the pairs: all, or successful if most attacks fail on most images.
        best_two: The first one's lead over the second: name, value, low, high and cells; None for fewer than two.
        kinds_apart: The lead of the best learnt detector over the best training-free one; None without both.
    """

    subset: str
    standings: Sequence[Standing]
    best_two: Mapping[str, Any] | None
    kinds_apart: Interval | None


Contrast = dict[str, Any]
"""name, value, low, high and the number of cells."""


@dataclass(frozen=True)
class TransferRecords:
    """The detection matrix.

    Attributes:
        rows: One for each detector, attack and subset of the pairs.
        contrasts: Differences in AUROC that the paper's claims are about.
        evaded: Share of images on which at least one attack evades a detector, by seed.
        families: The norm that each attack bounds or makes small; None: unknown.
        left_out: The attack left out of training, by the name of the training on all others.
        controls: AUROCs of each repetition, by control and attack.
        accuracy: Share of the clean images that the classifier gets right.
    """

    rows: Sequence[TransferRow]
    ranking: Ranking
    contrasts: Sequence[Contrast]
    evaded: Mapping[Line, Sequence[float]]
    families: Mapping[str, str | None]
    left_out: Mapping[str, str]
    controls: Mapping[str, Sequence[Sequence[float | None]]]
    accuracy: float
    underflow: Mapping[str, Any]
    noise_ratios: Mapping[str, Mapping[str, float | None]]
    budgets: Mapping[str, float]


def collected(rows: Iterable[TransferRow], value: str, subset: str = "all") -> dict[Line, dict[str, list[float]]]:
    """Return the known values of all seeds of a field, by line and attack tested on, in the rows' order."""
    lines: dict[Line, dict[str, list[float]]] = {}
    for row in rows:
        if row.subset == subset:
            measured = row.metrics.get(value)  # a run may have been evaluated before a metric was added
            lines.setdefault(row.line, {}).setdefault(row.tested_on, []).extend([] if measured is None else [measured])
    return lines


def summary(
    rows: Iterable[TransferRow], value: str = "auroc", subset: str = "all"
) -> Mapping[Line, Mapping[str, float | None]]:
    """Return the means over seeds of a field, by line and attack tested on, in the rows' order."""
    lines = collected(rows, value, subset)
    return {line: {attack: mean_known(values) for attack, values in cells.items()} for line, cells in lines.items()}


def compared(cells: Iterable[Cell], attacks: Container[str]) -> dict[str, list[Cell]]:
    """Return the cells over which detectors are compared, by detector: attacks that it was not trained on.

    Learnt detectors are compared on the (trained on, tested on) cells that all of them have. A training-free detector
    stands beside each of these cells, so that an attack counts as often for it as for a learnt one. Without learnt
    detectors each attack counts once. Detectors that were trained on several attacks at once are left out.

    Args:
        cells: The cells whose value is defined.
        attacks: The names of the run's attacks.
    """
    by_detector: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.unseen and (cell.trained_on is None or cell.trained_on in attacks):
            by_detector.setdefault(cell.detector, []).append(cell)
    detectors = list(by_detector.values())
    learnt = [unseen for unseen in detectors if unseen[0].trained_on is not None] or detectors
    places = [{(cell.trained_on, cell.tested_on) for cell in unseen} for unseen in learnt]
    tested = [{cell.tested_on for cell in unseen} for unseen in detectors]
    shared = [
        cell
        for cell in (learnt[0] if learnt else ())
        if all((cell.trained_on, cell.tested_on) in those for those in places)
        and all(cell.tested_on in attacked for attacked in tested)
    ]
    return {
        name: [Cell(name, unseen[0].trained_on and cell.trained_on, cell.tested_on) for cell in shared]
        for name, unseen in by_detector.items()
        if shared
    }


def unseen_values(
    rows: Sequence[TransferRow], value: str = "auroc", subset: str = "all"
) -> dict[str, list[tuple[Cell, float]]]:
    """Return the cells of `compared` with a field's mean over seeds, by detector."""
    means = {
        Cell(detector, None if trained_on == UNTRAINED else trained_on, attack): mean
        for (detector, trained_on), cells in summary(rows, value, subset).items()
        for attack, mean in cells.items()
        if mean is not None
    }
    by_detector = compared(means, {row.tested_on for row in rows})
    return {detector: [(cell, means[cell]) for cell in cells] for detector, cells in by_detector.items()}


def unseen_means(rows: Sequence[TransferRow], value: str = "auroc", subset: str = "all") -> dict[str, float]:
    """Return each detector's mean of a field over the cells of `compared`, of means over seeds."""
    values = unseen_values(rows, value, subset)
    return {detector: fmean(mean for _, mean in cells) for detector, cells in values.items()}


def success_rates(rows: Sequence[TransferRow]) -> dict[str, Interval]:
    """Return each attack's success rate on the images that the classifier gets right."""
    rates = {row.tested_on: row.metrics["attack_success_rate"] for row in rows}
    pairs = {(row.tested_on, row.subset): row.n for row in rows}
    right = {attack: sum(pairs.get((attack, subset), 0) for subset in ("successful", "failed")) for attack in rates}
    return {
        attack: clopper_pearson(rate, right[attack])
        for attack, rate in rates.items()
        if rate is not None and right[attack]
    }
