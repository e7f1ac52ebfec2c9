"""The paper's claims, each judged by a rule from the records of the protocols; nothing here is written by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

Verdict = Literal["holds", "does not hold", "not decided"]

Records = Mapping[str, Sequence[Mapping[str, Any]]]
"""The rows of each protocol that was run, by its name."""


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


def judge(records: Records) -> list[Claim]:
    """Return all claims with their verdicts.

    Args:
        records: Of the protocols that were run; a claim whose protocol is missing is not decided.
    """
    return [Claim("", "none yet", "not decided", f"{len(records)} protocols")]


_MARGIN: Final = 0.05
