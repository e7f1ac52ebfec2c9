"""Parts of tables and flags that several protocols share."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from experiments.results.bootstrap import clopper_pearson
from experiments.results.levels import LARGE_LINF
from experiments.results.records import Record
from experiments.results.result import Flag, Table

MATCHED: Final = 0.98
"""The smallest ratio of norms, noise over attack, at which the noise counts as equally large."""

NORMS: Final = {"l0": "L0", "l2": "L2", "linf": "L-inf"}
"""The norms that noise shares with its attack, as tables name them."""


def rate_of(share: float | None, count: int) -> str | None:
    """Return a share of `count` images with its 95 % interval, as text for a table; None without a share."""
    return None if share is None else str(clopper_pearson(share, count))


def table_of(
    title: str, rows: Iterable[Record], columns: Mapping[str, str | Callable[[Any], Any]], note: str = ""
) -> Table:
    """Return a table with a line for each record; a column is a field of the records, or a function of a record."""
    lines = [[row[column] if isinstance(column, str) else column(row) for column in columns.values()] for row in rows]
    return Table(title, list(columns), lines, note)


def listing_flag(name: str, culprits: Iterable[str], raised: str, otherwise: str) -> Flag:
    """Return a flag that is raised if there are culprits. Their names replace `{}` in its sentence."""
    names = ", ".join(culprits)
    return Flag(name, bool(names), raised.format(names) if names else otherwise)


def idle_flag(idle: Iterable[str]) -> Flag:
    """Return the flag about attacks that fooled the classifier on no image."""
    sentence = "{} fooled the classifier on no image."
    return listing_flag("An attack that never succeeds", idle, sentence, "Every attack fooled some images.")


def noise_flag(ratios: Mapping[str, Mapping[str, float | None]]) -> Flag:
    """Return the flag about noise that is smaller than its attack, from the ratios of `images.noise_ratios`."""
    small = [
        f"{attack} ({NORMS[norm]} {ratio:.3f})"
        for attack, by_norm in ratios.items()
        for norm, ratio in by_norm.items()
        if ratio is not None and ratio < MATCHED
    ]
    return listing_flag(
        "Noise smaller than the attack",
        small,
        f"The noise of some image has less than {MATCHED} of the attack's norm, smallest ratio: {{}}.",
        f"On every image the noise has at least {MATCHED} of the attack's L0, L2 and L-inf norm.",
    )


def budget_flag(large: Mapping[str, float]) -> Flag:
    """Return the flag about budgets that `budgets.unusual` names."""
    return listing_flag(
        "A budget of another kind of data",
        [f"{attack} {epsilon:g}" for attack, epsilon in large.items()],
        f"L-inf budgets above {LARGE_LINF:.3f} on colour images: {{}}. That is usual for grey digits; on colour images "
        "8/255 is usual, and a change so large is seen. Take the budget from a recipe for these data.",
        f"No L-inf budget above {LARGE_LINF:.3f} is used on colour images; other budgets are not checked.",
    )


def grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the second of each pair, in a list for each first one."""
    groups: dict[str, list[str]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def capital(words: str) -> str:
    """Return the words with a capital first letter, the others as they are."""
    return words[0].upper() + words[1:]
