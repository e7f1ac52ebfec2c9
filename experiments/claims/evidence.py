"""What the rules of the claims share: reports, differences from a level, the margin of "no better"."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from experiments.results.bootstrap import Interval
from experiments.results.verdicts import Evidence

Reports = Mapping[str, Mapping[str, Any]]
"""The contents of each protocol's JSON, by its name."""

Judged = Evidence | str
"""The evidence of the records for a claim, or the reason why it cannot be computed."""

EQUIVALENT: Final = 0.02
"""Margin of the equivalence tests, in AUROC or share of images: with a smaller lead, one is no better than another."""

FOUR: Final = ("id", "jsd", "smd", "spd")


def interval_of(record: Mapping[str, Any]) -> Interval:
    """Return the interval of a contrast's record."""
    return Interval(record["value"], record["low"], record["high"])


def beyond(interval: Interval, level: float, *, above: bool) -> Interval:
    """Return by how much a statistic lies above a level, or below it."""
    apart = Interval(interval.value - level, interval.low - level, interval.high - level)
    return apart if above else -apart


def numbers_of(records: Sequence[Mapping[str, Any]]) -> str:
    """Return contrasts with their intervals, as a sentence lists them."""
    return "; ".join(f"{r['name']}: {r['value']:+.3f} [{r['low']:+.3f}, {r['high']:+.3f}]" for r in records)
