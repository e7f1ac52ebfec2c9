"""Records: rows of plain values, and what several seeds give of one number."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]
Rows = Sequence[Record]


def mean_known(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are known; None if there are none."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def spread(values: Sequence[float]) -> float | str | None:
    """Return a mean, with the standard deviation where there are several seeds."""
    return f"{mean_known(values):.3f} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean_known(values)
