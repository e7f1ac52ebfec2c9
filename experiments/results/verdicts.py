"""Claims, their verdicts, the one rule from intervals to a verdict, and the least evidence that a verdict needs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from experiments.results.bootstrap import Interval

Verdict = Literal["holds", "does not hold", "not decided"]

FEWEST: Final = 20
"""Images below which nothing is decided."""

_PLURAL: Final = re.compile(r"s\b")


@dataclass(frozen=True)
class Claim:
    """A claim with its verdict.

    Attributes:
        number: The number in the paper's list, or a letter for this project's own questions.
        statistic: The deciding numbers, or the missing ones.
    """

    number: str
    text: str
    verdict: Verdict
    statistic: str


@dataclass(frozen=True)
class Evidence:
    """The verdict on a claim by the records, and its basis.

    Attributes:
        verdict: The verdict by the numbers alone.
        counts: The number of images, pairs, seeds and so on, by this plural.
        doubts: Sentences that say why some of the numbers decide nothing, which the verdict knows.
    """

    verdict: Verdict
    sentence: str
    counts: Mapping[str, int] = field(default_factory=dict)
    doubts: Sequence[str] = ()


def all_above(intervals: Sequence[Interval | None], level: float = 0.0) -> Verdict:
    """Return the verdict on the claim that every statistic is above a level.

    Args:
        intervals: One for each statistic; None: it is not defined, so the claim cannot hold. Nor can it by one without
            a width, which decides nothing.
        level: For "below a level", negate the intervals and the level.

    Returns:
        "holds" if every interval lies above the level, "does not hold" if any lies below it, else "not decided".
    """
    return all_hold([_above(interval, level) for interval in intervals])


def all_hold(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict on the claim that several claims hold; of none it is not decided."""
    if "does not hold" in verdicts:
        return "does not hold"
    return "holds" if set(verdicts) == {"holds"} else "not decided"


def _above(interval: Interval | None, level: float) -> Verdict:
    if interval is None or interval.flat or interval.low <= level <= interval.high:
        return "not decided"
    return "holds" if interval.low > level else "does not hold"


def any_above(intervals: Sequence[Interval | None], level: float = 0.0) -> Verdict:
    """Return the verdict on the claim that some statistic is above a level, not corrected for their number."""
    verdicts = {_above(interval, level) for interval in intervals}
    if "holds" in verdicts:
        return "holds"
    return "does not hold" if verdicts == {"does not hold"} else "not decided"


def evidence_above(
    intervals: Mapping[str, Interval],
    sentence: str,
    counts: Mapping[str, int] | None = None,
    doubts: Mapping[str, str] | None = None,
) -> Evidence:
    """Return the evidence for the claim that every statistic is above 0.

    A doubtful statistic counts as undefined. So does one whose interval has no width. Its values are all equal: those
    of a single pair, of constant maps, or of two detectors that both separate everything.

    Args:
        intervals: The interval of each statistic, by its name.
        sentence: The numbers.
        counts: See `Evidence`.
        doubts: Why a statistic decides nothing, by its name.
    """
    constant = [name for name, interval in intervals.items() if interval.flat]
    doubts = {name: f"{name} does not vary: its interval has no width" for name in constant} | dict(doubts or {})
    verdict = all_above([None if name in doubts else interval for name, interval in intervals.items()])
    return Evidence(verdict, sentence, counts or {}, list(doubts.values()))


def settle(claim: Claim, evidence: Evidence, needs: Mapping[str, int]) -> Claim:
    """Return a claim with the verdict of its evidence; not decided where there is too little of anything.

    The reasons stand in front of the numbers.

    Args:
        claim: Its number and text are kept.
        evidence: The verdict with its counts and doubts.
        needs: The smallest number of each thing; see `Evidence.counts`.
    """
    few = list(_too_few(evidence.counts, needs))
    verdict = "not decided" if few else evidence.verdict
    return replace(claim, verdict=verdict, statistic="; ".join([*few, *evidence.doubts, evidence.sentence]))


def _too_few(counts: Mapping[str, int], needs: Mapping[str, int]) -> Iterator[str]:
    for things, least in needs.items():
        if things not in counts:
            yield f"the number of {things} is not recorded"
        elif counts[things] < least:
            verb = "is" if counts[things] == 1 else "are"
            yield f"{counted(counts[things], things)} {verb} too few to decide, it takes {least}"


def counted(count: int, things: str) -> str:
    """Return "1 seed" or "2 seeds", for things named in the plural."""
    return f"{count} {things}" if count != 1 else f"1 {_PLURAL.sub('', things, count=1)}"


def listed(names: Sequence[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
