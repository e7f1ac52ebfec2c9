"""The records of the detection matrix: its rows, AUROCs with their resamples, and what the contrasts need to know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from experiments.results.bootstrap import Statistic
from experiments.results.records import Rows, mean_known

UNTRAINED: Final = "-"
"""Stands for trained_on in the summary of a training-free detector."""

ORACLE: Final = " (true label)"
"""After the name of a detector whose map is that of the true class, which no detector knows."""

Line = tuple[str, str]
"""A detector, and what it was trained on or `UNTRAINED`."""


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


Areas = Mapping[Cell, Statistic]
"""The mean AUROC over seeds of each cell where it is defined."""


@dataclass(frozen=True)
class TransferRecords:
    """The detection matrix.

    Attributes:
        rows: A record for each detector, attack and subset of the pairs.
        areas: Against clean images, of detectors trained on one attack or none.
        against_noise: Against noise of the same norms.
        evaded: Share of images on which at least one attack evades a detector, by seed.
        families: The norm that each attack bounds or makes small; None: unknown.
        single_steps: The attacks that are FGSM.
        trained: Names of the trained detectors.
        left_out: The attack that is missing, by the name of what a detector of all other attacks was trained on.
        controls: AUROCs of each repetition, by control and attack.
        accuracy: Share of the clean images that the classifier gets right.
        underflow: See `controls.underflow`.
    """

    rows: Rows
    areas: Areas
    against_noise: Areas
    evaded: Mapping[Line, Sequence[float]]
    families: Mapping[str, str | None]
    single_steps: Sequence[str]
    trained: Sequence[str]
    left_out: Mapping[str, str]
    controls: Mapping[str, Sequence[Sequence[float | None]]]
    accuracy: float
    underflow: Mapping[str, Any]


def collected(rows: Rows, value: str, subset: str = "all") -> dict[Line, dict[str, list[float]]]:
    """Return the known values of all seeds of a field, by line and attack tested on, in the rows' order."""
    lines: dict[Line, dict[str, list[float]]] = {}
    for row in rows:
        if row["subset"] == subset:
            cells = lines.setdefault((row["detector"], row["trained_on"] or UNTRAINED), {})
            known = row.get(value)  # a run may have been evaluated before a metric was added
            cells.setdefault(row["tested_on"], []).extend([] if known is None else [known])
    return lines


def summary(rows: Rows, value: str = "auroc", subset: str = "all") -> Mapping[Line, Mapping[str, float | None]]:
    """Return the means over seeds of a field, by line and attack tested on, in the rows' order."""
    lines = collected(rows, value, subset)
    return {line: {attack: mean_known(values) for attack, values in cells.items()} for line, cells in lines.items()}
