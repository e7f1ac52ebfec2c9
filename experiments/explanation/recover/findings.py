"""The findings of the recovery study: the paper's R1 and R2, and our own questions A to C."""

from collections.abc import Sequence

from experiments.explanation.evidence import Named, few_images, judged, shown
from experiments.explanation.recover.records import LEARNT, LIME_NAME, THREE, RecoverRecords
from experiments.results.verdicts import Claim


def judge(records: RecoverRecords) -> list[Claim]:
    """Return the findings. Each holds if all of its differences are above 0, or if one is."""
    missing = [name for name in THREE if name not in records.methods]
    lacks, alone = f"the methods lack {' and '.join(missing)}", "no other method is given"
    others = [name for name in records.maps if name != LIME_NAME]
    claims: tuple[tuple[str, str, Named, str], ...] = (
        (
            "R1",
            "each of the paper's three methods recovers regions better than random (Jaccard index)",
            {} if missing else {name: records.methods[name]["jaccard_minus_random"] for name in THREE},
            lacks,
        ),
        (
            "R2",
            "LIME ranks before guided backpropagation, and that before classic saliency (mean ranks)",
            records.rank_leads,
            lacks,
        ),
        (
            "A",
            "the learnt model recovers regions better than random (Jaccard index)",
            {LEARNT: records.methods[LEARNT]["jaccard_minus_random"]} if LEARNT in records.methods else {},
            "there is no learnt model of these images and classes",
        ),
        (
            "B",
            "some method recovers regions better than LIME (Jaccard index)",
            records.ahead_of_lime,
            alone,
        ),
        (
            "C",
            "LIME is ahead by its weights, not by its superpixels alone: it stays ahead of all other maps when these "
            "are averaged over the same superpixels (Jaccard index)",
            {name: records.pooled[name].behind_lime for name in others if name in records.pooled},
            alone,
        ),
    )
    return [_judged(*claim) for claim in claims]


def _judged(number: str, text: str, differences: Named, absent: str) -> Claim:
    """Return the claim that all differences are above 0 (for B: that one is), or the reason why it cannot be judged."""
    numbers = {name: str(shown(difference)) for name, difference in differences.items()}
    if number == "B" and differences:
        largest = max(differences, key=lambda name: differences[name].value)  # type: ignore[union-attr]
        numbers = {largest: numbers[largest]}
    sentence = ", ".join(f"{name} {ends}" for name, ends in numbers.items())
    return judged(number, text, differences, sentence or absent, one=number == "B")


def success_in_words(records: RecoverRecords) -> str:
    """Return sentences with the numbers of attacks tried and succeeded."""
    attacks = records.attacks
    left = sum(attacks.left_out)
    return (
        f"{records.explanations} of {sum(attacks.tried)} localized attacks succeeded. That is a share of "
        f"{shown(attacks.success)}. They were tried on {len(attacks.left_out) - left} images; {left} more are "
        "predicted as the target already."
    )


def finding(records: RecoverRecords, claims: Sequence[Claim]) -> str:
    """Return sentences about the attacks, the best map, and each finding with its verdict."""
    means = {name: records.methods[name]["jaccard"] for name in records.maps}
    best = max(means, key=lambda name: means[name].value)
    sentences = [f"{claim.number}, {claim.text}: {claim.verdict}." for claim in claims]
    recovers = f"Of all maps {best} recovers regions best, with a Jaccard index of {shown(means[best])}."
    return few_images(records.photographs) + " ".join([success_in_words(records), recovers, *sentences])
