"""The findings of the recovery study (the paper's R1 and R2, own questions A to C), and what it says about itself."""

from collections.abc import Mapping, Sequence
from typing import Final

from experiments.explanation.recover.records import (
    LEARNT,
    LIME_NAME,
    PERTURBATION,
    THREE,
    UNIONS,
    Attempts,
    RecoverRecords,
)
from experiments.results.bootstrap import Interval
from experiments.results.result import Flag
from experiments.results.verdicts import FEWEST, Claim, all_above, any_above, if_enough


def judge(records: RecoverRecords) -> list[Claim]:
    """Return the findings; each is about differences that must all be above 0, or of which one must be."""
    missing = [name for name in THREE if name not in records.methods]
    lacks = f"the methods lack {' and '.join(missing)}"
    three = {} if missing else {name: records.difference(name) for name in THREE}
    rivals = {name: records.difference(name, LIME_NAME) for name in records.maps if name != LIME_NAME}
    pooled = {name: records.behind_lime(name) for name in records.pooled if name in records.maps}
    claims = (
        ("R1", "each of the paper's three methods recovers regions better than random (Jaccard index)", three, lacks),
        (
            "R2",
            "LIME ranks before guided backpropagation, and that before classic saliency (mean ranks)",
            {} if missing else _order(records),
            lacks,
        ),
        (
            "A",
            "the learnt model recovers regions better than random (Jaccard index)",
            {LEARNT: records.difference(LEARNT)} if LEARNT in records.methods else {},
            "there is no learnt model of these images and classes",
        ),
        (
            "B",
            "some method recovers regions better than LIME (Jaccard index)",
            rivals,
            "there is no other method",
        ),
        (
            "C",
            "LIME is ahead by its weights, not by its superpixels alone: it stays ahead of all other maps when these "
            "are averaged over the same superpixels (Jaccard index)",
            pooled,
            "there is no other method",
        ),
    )
    return [_judged(*claim, records.photographs) for claim in claims]


def _judged(number: str, text: str, differences: Mapping[str, Interval], absent: str, photographs: int) -> Claim:
    """Return the claim that all differences are above 0, or for B that one is; if there is none, what is absent."""
    if not differences:
        return Claim(number, text, "not decided", absent)
    intervals, shown = list(differences.values()), differences
    if number == "B":
        verdict, shown = any_above(intervals), dict([max(differences.items(), key=lambda named: named[1].value)])
    else:
        verdict = all_above(intervals)
    numbers = ", ".join(f"{name} {interval}" for name, interval in shown.items())
    return if_enough(Claim(number, text, verdict, numbers), photographs)


def _order(records: RecoverRecords) -> dict[str, Interval]:
    """Return by how many ranks each of the paper's methods is ahead of the next; by likeness they rank alike."""
    ranks, (worst, middle, best) = records.ranks_of_three["jaccard"], THREE
    return {
        f"{worse} minus {better}": records.mean(ranks[worse] - ranks[better])
        for better, worse in ((best, middle), (middle, worst))
    }


def attempts_in_words(attempts: Attempts) -> str:
    """Return how many attacks were tried and succeeded, as a sentence."""
    tried, won, left = len(attempts.image), int(attempts.succeeded.sum()), int(attempts.left_out.sum())
    return (
        f"{won} of {tried} localized attacks on {len(attempts.left_out) - left} images succeeded ({won / tried:.1%}); "
        f"images left out because they are predicted as the target already: {left}."
    )


def answer(attempts: Attempts, findings: Sequence[Claim]) -> str:
    """Return the answer in words: the attacks, then each finding with its verdict and numbers."""
    sentences = [f"{claim.number}, {claim.text}: {claim.verdict} ({claim.statistic})." for claim in findings]
    return " ".join([attempts_in_words(attempts), *sentences])


FAR: Final = 0.25
"""Jaccard index at the region's size by which the positive control must be ahead of random."""

SUPERPIXELS: Final = 2 * UNIONS
"""Below these, the union of the best 20 is more than half of an image."""

HALF: Final = 0.5


def flags(records: RecoverRecords) -> list[Flag]:
    """Return the checks."""
    attempts, counts = records.attempts, records.superpixels
    ahead = records.difference(PERTURBATION, measure="level")
    few = int((counts < SUPERPIXELS).sum())
    return [
        Flag(
            "The positive control beats random by far",
            ahead.low <= FAR,
            f"At the region's size the change itself has a Jaccard index {ahead} above random's; it must be ahead by "
            f"{FAR}.",
        ),
        Flag(
            "The unions have superpixels enough",
            few > 0,
            f"LIME has {int(counts.min())} superpixels or more; {few} of {len(counts)} images have fewer than "
            f"{SUPERPIXELS}, below which the best {UNIONS} are more than half of them.",
        ),
        Flag(
            "Attacks succeed",
            records.explanations < HALF * len(attempts.image),
            f"{attempts_in_words(attempts)} Their regions have {attempts.regions.double().mean().item():.1%} of an "
            f"image on average, all that were tried {attempts.region.double().mean().item():.1%}.",
        ),
        Flag(
            "Attacks stay in their region",
            attempts.escaped > 0,
            f"{attempts.escaped} of {len(attempts.image)} attacks changed a pixel outside of it.",
        ),
        Flag(
            "There are photographs enough",
            records.photographs < FEWEST,
            f"{records.photographs} photographs have a successful attack; {FEWEST} are needed for a verdict.",
        ),
    ]
