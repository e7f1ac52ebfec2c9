"""Claims, their verdicts, and the one rule from intervals to a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from experiments.results.bootstrap import Interval

Verdict = Literal["holds", "does not hold", "not decided"]

FEWEST: Final = 20
"""Images below which nothing is decided."""


@dataclass(frozen=True)
class Claim:
    """A claim with its verdict.

    Attributes:
        number: As in the paper's list, or a letter for this project's own questions.
        text: What is claimed.
        verdict: Computed.
        statistic: The numbers that decided, or what is missing.
    """

    number: str
    text: str
    verdict: Verdict
    statistic: str


def all_above(intervals: Sequence[Interval | None], level: float = 0.0) -> Verdict:
    """Return the verdict on the claim that every statistic is above a level.

    Args:
        intervals: One for each statistic; None: it is not defined, so the claim cannot hold.
        level: For "below a level", negate the intervals and the level.

    Returns:
        "holds" if every interval lies above the level, "does not hold" if any lies below it, else "not decided".
    """
    if any(each is not None and each.high < level for each in intervals):
        return "does not hold"
    holds = len(intervals) > 0 and all(each is not None and each.low > level for each in intervals)
    return "holds" if holds else "not decided"


def any_above(intervals: Sequence[Interval], level: float = 0.0) -> Verdict:
    """Return the verdict on the claim that some statistic is above a level, not corrected for their number.

    Args:
        intervals: At least one.
        level: See `all_above`.
    """
    if any(each.low > level for each in intervals):
        return "holds"
    return "does not hold" if all(each.high < level for each in intervals) else "not decided"


def if_enough(claim: Claim, images: int) -> Claim:
    """Return the claim, not decided where it rests on fewer than `FEWEST` images."""
    if images >= FEWEST:
        return claim
    few = f"{images} images are too few to decide, it takes {FEWEST}; {claim.statistic}"
    return replace(claim, verdict="not decided", statistic=few)
