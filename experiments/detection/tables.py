"""What tables and flags of several protocols share: columns of records, means over seeds, flags that list names."""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from experiments.results.result import Flag, Table

Record = Mapping[str, Any]


def table_of(
    title: str, rows: Iterable[Record], columns: Mapping[str, str | Callable[[Any], Any]], note: str = ""
) -> Table:
    """Return a table with a line for each record; a column is a field of the records, or a function of a record."""
    lines = [[row[column] if isinstance(column, str) else column(row) for column in columns.values()] for row in rows]
    return Table(title, list(columns), lines, note)


def listing_flag(name: str, culprits: Iterable[str], raised: str, otherwise: str) -> Flag:
    """Return a flag that is raised if there are culprits, which `{}` stands for in its sentence."""
    names = ", ".join(culprits)
    return Flag(name, bool(names), raised.format(names) if names else otherwise)


def idle_flag(idle: Iterable[str]) -> Flag:
    """Return the flag about attacks that fooled the classifier on no image."""
    sentence = "{} fooled the classifier on no image."
    return listing_flag("An attack that never succeeds", idle, sentence, "Every attack fooled some images.")


def mean_known(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are known; None if there are none."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def spread(values: Sequence[float]) -> float | str | None:
    """Return a mean, with the standard deviation where there are several seeds."""
    return f"{mean_known(values):.3f} ± {statistics.stdev(values):.3f}" if len(values) > 1 else mean_known(values)


def grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the second of each pair, in a list for each first one."""
    groups: dict[str, list[str]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def capital(words: str) -> str:
    """Return the words with a capital first letter, the others as they are."""
    return words[0].upper() + words[1:]
