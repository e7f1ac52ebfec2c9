"""The claims of several whole pipelines, judged together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from experiments.claims.paper import Found, judge
from experiments.results.verdicts import Claim, Verdict

PIPELINES: Final = 3
"""Whole pipelines that a claim needs (PROTOCOL B12)."""


@dataclass(frozen=True)
class Together:
    """A claim on several pipelines.

    Attributes:
        number: As in `claims.Claim`.
        text: What is claimed.
        verdict: Of all together.
        each: The claim as judged on each pipeline.
    """

    number: str
    text: str
    verdict: Verdict
    each: Sequence[Claim]

    @property
    def split(self) -> bool:
        """Whether it holds on one pipeline and does not on another."""
        return {"holds", "does not hold"} <= {claim.verdict for claim in self.each}


def judge_together(found: Sequence[Found]) -> list[Together]:
    """Return all claims with the verdict of several pipelines.

    Args:
        found: What the protocols found on each pipeline.
    """
    columns = [judge(each) for each in found]
    return [
        Together(claims[0].number, claims[0].text, together([claim.verdict for claim in claims]), claims)
        for claims in zip(*columns, strict=True)
    ]


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the verdict of several pipelines: what all of them say, if they are enough; else it is not decided.

    The interval behind each verdict is about the images and the detectors' seeds of its pipeline; that the next
    pipeline says the same is about classifier and saliency model.

    Args:
        verdicts: One for each pipeline.
    """
    return verdicts[0] if len(verdicts) >= PIPELINES and len(set(verdicts)) == 1 else "not decided"
