"""Claims and their verdicts."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["holds", "does not hold", "not decided"]


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
