"""Means of the detection matrix over seeds, from its records."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

UNTRAINED: Final = "-"
"""Stands for trained_on in the summary of a training-free detector."""

Rows = Sequence[Mapping[str, Any]]


def summary(rows: Rows, value: str = "auroc", subset: str = "all") -> Mapping[tuple[str, str], Any]:
    """Return means over seeds of a value, by (detector, trained on) and then by tested on.

    Args:
        rows: Of the matrix.
        value: Name of the field.
        subset: Of the pairs.

    Returns:
        {(detector, trained_on or UNTRAINED): {tested_on: mean or None}}, in the rows' order.
    """
    return {
        key: {attack: statistics.fmean(values) if values else None for attack, values in cells.items()}
        for key, cells in collected(rows, value, subset).items()
    }


def collected(rows: Rows, value: str, subset: str) -> dict[tuple[str, str], dict[str, list[float]]]:
    """Return the values of all seeds, by (detector, trained on) and then by tested on."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in rows:
        if row["subset"] == subset:
            cells = found.setdefault((row["detector"], row["trained_on"] or UNTRAINED), {})
            cells.setdefault(row["tested_on"], []).extend([] if row[value] is None else [row[value]])
    return found


def spread(values: Sequence[float]) -> float | str | None:
    """Return a mean, with the standard deviation where there are several seeds."""
    if not values:
        return None
    mean = statistics.fmean(values)
    return mean if len(values) == 1 else f"{mean:.3f} ± {statistics.stdev(values):.3f}"
