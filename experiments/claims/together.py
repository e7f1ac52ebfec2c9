"""The claims of several whole pipelines, judged together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from experiments.claims.evidence import Reports
from experiments.claims.paper import judge
from experiments.results.verdicts import Claim, Verdict

PIPELINES: Final = 3
"""Whole pipelines that a claim needs (PROTOCOL B12)."""


@dataclass(frozen=True)
class Together:
    """A claim, by number and text, and as judged on each of several pipelines."""

    number: str
    text: str
    claims: Sequence[Claim]

    @property
    def verdict(self) -> Verdict:
        """The verdict of all together."""
        return together([claim.verdict for claim in self.claims])

    @property
    def split(self) -> bool:
        """Whether it holds on one pipeline and does not on another."""
        return {"holds", "does not hold"} <= {claim.verdict for claim in self.claims}


def judge_together(reports: Sequence[Reports]) -> list[Together]:
    """Return all claims, judged on several pipelines."""
    return [Together(claims[0].number, claims[0].text, claims) for claims in zip(*map(judge, reports), strict=True)]


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the common verdict of several pipelines; not decided if they differ or are too few.

    The interval behind each verdict is about the images and the detectors' seeds of its pipeline; that the next
    pipeline says the same is about classifier and saliency model.
    """
    return verdicts[0] if len(verdicts) >= PIPELINES and len(set(verdicts)) == 1 else "not decided"
