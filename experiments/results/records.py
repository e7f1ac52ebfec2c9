"""Records: rows of plain values, and the mean of a number over several seeds."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

Record = Mapping[str, Any]
Rows = Sequence[Record]


def flat(row: Any) -> dict[str, Any]:
    """Return a dataclass's fields for JSON, in order; a mapping is replaced by its entries."""
    record: dict[str, Any] = {}
    for field in fields(row):
        value = getattr(row, field.name)
        record.update(value if isinstance(value, Mapping) else {field.name: value})
    return record


def mean_known(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are known; None if there are none."""
    numbers = [value for value in values if value is not None]
    return statistics.fmean(numbers) if numbers else None


def spread(values: Sequence[float]) -> float | str | None:
    """Return a mean, with the standard deviation where there are several seeds."""
    return f"{mean_known(values):.3f} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean_known(values)
