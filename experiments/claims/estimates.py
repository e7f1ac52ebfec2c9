"""Numbers of several whole pipelines: their mean, and how far they lie apart."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from experiments.claims.evidence import Reports
from experiments.detection.transfer.records import read, unseen_means
from experiments.results.bootstrap import half_width
from experiments.results.records import spread
from experiments.results.text import cell
from experiments.study.metrics import shown_in

Key = TypeVar("Key")

Cell = tuple[str, str | None, str, str]
"""Detector, trained on, tested on, subset."""

VALUES: Final = {metric.key: metric.name for metric in shown_in("pipelines")}
"""Fields of the detection matrix that are pooled, with their names in tables."""


@dataclass(frozen=True)
class Estimate:
    """A number that several pipelines give.

    Attributes:
        values: The value of each pipeline; None if it has none.
    """

    values: Sequence[float | None]

    @property
    def known(self) -> list[float]:
        """Those that there are."""
        return [value for value in self.values if value is not None]

    @property
    def mean(self) -> float | None:
        """Over pipelines."""
        return statistics.fmean(self.known) if self.known else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation over pipelines; None below two."""
        return statistics.stdev(self.known) if len(self.known) > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Ends of the 95 % interval of the mean over pipelines, by Student's t; None below two."""
        if self.mean is None or self.deviation is None:
            return None
        half = half_width(self.known)
        return self.mean - half, self.mean + half

    def __str__(self) -> str:
        """Mean and standard deviation, as the tables show them."""
        return cell(spread(self.known))


def matrix(reports: Sequence[Reports]) -> dict[str, dict[Cell, Estimate]]:
    """Return each value's estimate for every cell of the detection matrix: of means over the detectors' seeds.

    Returns:
        {name of the value: {cell: estimate}}, cells in the order of the first pipeline's rows.
    """
    return {value: _estimates([_means(report, value) for report in reports]) for value in VALUES}


def unseen(reports: Sequence[Reports]) -> dict[str, dict[str, Estimate]]:
    """Return each value's estimate for every detector: its mean over attacks that it was not trained on.

    All detectors are compared on the same cells, as in the protocol's own sentence.

    Returns:
        {name of the value: {detector: estimate}}.
    """
    runs = [read(report["transfer"]["rows"]) for report in reports]
    return {value: _estimates([unseen_means(rows, value) for rows in runs]) for value in VALUES}


def contrasts(reports: Sequence[Reports]) -> dict[str, Sequence[Mapping[str, Any]]]:
    """Return the comparisons that all pipelines allow: the record of each pipeline, by name."""
    columns = [{record["name"]: record for record in report["transfer"]["meta"]["contrasts"]} for report in reports]
    return {name: [column[name] for column in columns] for name in columns[0] if all(name in c for c in columns)}


def _means(report: Reports, value: str) -> dict[Cell, float | None]:
    """Return the mean over seeds by cell, in the rows' order; None where no seed has the value."""
    cells: dict[Cell, list[float]] = {}
    for row in report["transfer"]["rows"]:
        key = row["detector"], row["trained_on"], row["tested_on"], row["subset"]
        cells.setdefault(key, []).extend([] if row[value] is None else [row[value]])
    return {key: statistics.fmean(values) if values else None for key, values in cells.items()}


def _estimates(columns: Sequence[Mapping[Key, float | None]]) -> dict[Key, Estimate]:
    return {key: Estimate([column.get(key) for column in columns]) for key in columns[0]}
