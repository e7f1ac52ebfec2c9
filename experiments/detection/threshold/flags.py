"""What the threshold study says about itself."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from experiments.detection.threshold.crossings import lines_of, mean_of
from experiments.results.result import Flag
from experiments.study.budgets import weaker
from experiments.study.metrics import DETECTED

_SURE: Final = 0.95
"""Success rate that a very large epsilon should reach."""

_CHANCE: Final = 0.5

_NOISY: Final = 0.6
"""AUROC against norm-matched noise below which a detector finds noise."""


def _rates(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[float, tuple[float | None, int]]]:
    """Return success rate and number of images that it is of, by attack and epsilon."""
    found: dict[str, dict[float, tuple[float | None, int]]] = {}
    for row in rows:
        found.setdefault(row["attack"], {})[row["epsilon"]] = row["attack_success_rate"], row["right_before"]
    return found


def _zero(rows: Sequence[Mapping[str, Any]]) -> Flag:
    """Epsilon 0 against the clean result (D18)."""
    name = "Epsilon 0 is not the clean result"
    found = [row for row in rows if row["epsilon"] == 0 and row["subset"] == "all"]
    if not found:
        return Flag(name, None, "Epsilon 0 is not among the sizes.")
    wrong = [
        row for row in found if row["median_l2"] or row["attack_success_rate"] or row["auroc"] not in {None, _CHANCE}
    ]
    told = ", ".join(f"{row['detector']} on {row['attack']} {_precisely(row['auroc'])}" for row in wrong)
    return Flag(
        name,
        bool(wrong),
        f"At epsilon 0 the AUROC is not exactly .5, or images changed: {told}."
        if wrong
        else f"At epsilon 0 no image changed and the AUROC is exactly .5 in all {len(found)} cases.",
    )


def _precisely(value: float | None) -> str:
    return "-" if value is None else f"{value:.6f}"


def _growth(rows: Sequence[Mapping[str, Any]]) -> Flag:
    """Success against epsilon (D18)."""
    falls = []
    known = False
    for attack, at in _rates(rows).items():
        points = list(at.items())
        for (small, (rate, count)), (large, (other, other_count)) in pairwise(points):
            lost = weaker(other, other_count, rate, count)
            known = known or lost is not None
            if lost:
                falls.append(f"{attack} from {rate:.3f} at {small:g} to {other:.3f} at {large:g}")
    return Flag(
        "A larger budget succeeds less",
        bool(falls) if known else None,
        f"The success rate falls, beyond its binomial interval: {'; '.join(falls)}."
        if falls
        else "No success rate falls with epsilon beyond its binomial interval.",
    )


def _largest(rows: Sequence[Mapping[str, Any]]) -> Flag:
    """Success at the largest epsilon (D18)."""
    last = {attack: max(at.items()) for attack, at in _rates(rows).items()}
    known = {attack: (epsilon, rate) for attack, (epsilon, (rate, _)) in last.items() if rate is not None}
    told = ", ".join(f"{attack} {rate:.3f} at {epsilon:g}" for attack, (epsilon, rate) in known.items())
    return Flag(
        "A very large budget does not always succeed",
        any(rate < _SURE for _, rate in known.values()) if known else None,
        f"Success rates at the largest epsilon: {told or 'none'}; about 1 is expected of an iterative attack, at least "
        f"{_SURE}, while a single step may overshoot.",
    )


def _noise(rows: Sequence[Mapping[str, Any]]) -> Flag:
    """Detection of any change of that size (A5)."""
    cells = [(key, size, records) for key, at in lines_of(rows).items() for size, records in at.items() if size > 0]
    found: dict[str, list[float]] = {}
    for (attack, detector, _, subset), size, records in cells:
        value, against = mean_of(records, "auroc"), mean_of(records, "auroc_against_noise")
        if subset == "all" and value is not None and against is not None and value >= DETECTED and against < _NOISY:
            found.setdefault(f"{detector} on {attack}", []).append(size)
    told = ", ".join(f"{name} at {' '.join(f'{size:g}' for size in sizes)}" for name, sizes in found.items())
    return Flag(
        "Detectors of noise",
        bool(found),
        f"AUROC at least {DETECTED} against clean images and below {_NOISY} against noise of the same norms, all "
        f"pairs: {told}. There noise is found, not attacks."
        if found
        else f"No cell has an AUROC of at least {DETECTED} against clean images and below {_NOISY} against noise.",
    )


def flags(rows: Sequence[Mapping[str, Any]]) -> list[Flag]:
    """Return all flags.

    Args:
        rows: Of the result.
    """
    return [_zero(rows), _growth(rows), _largest(rows), _noise(rows)]
