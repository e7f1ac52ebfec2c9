"""What tables and flags of several protocols share: columns of records, flags that list names."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from experiments.results.records import Record
from experiments.results.result import Flag, Table


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


def grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the second of each pair, in a list for each first one."""
    groups: dict[str, list[str]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def capital(words: str) -> str:
    """Return the words with a capital first letter, the others as they are."""
    return words[0].upper() + words[1:]
