"""Flags of `evaluate.py recover`: checks of its own validity."""

from typing import Final

from experiments.explanation.recover.findings import success_in_words
from experiments.explanation.recover.records import PERTURBATION, UNIONS, RecoverRecords
from experiments.results.result import Flag
from experiments.results.verdicts import FEWEST

FAR: Final = 0.25
"""The least lead of the positive control over random, in Jaccard index at the region's size."""

SUPERPIXELS: Final = 2 * UNIONS
"""With fewer superpixels, the best 20 are more than half of all."""

HALF: Final = 0.5


def flags(records: RecoverRecords) -> list[Flag]:
    """Return the checks."""
    attacks, counts = records.attacks, records.superpixels
    ahead = records.methods[PERTURBATION]["jaccard_at_region_size_minus_random"]
    few, tried = sum(count < SUPERPIXELS for count in counts), sum(attacks.tried)
    return [
        Flag(
            "The positive control beats random by far",
            ahead.low <= FAR,
            f"At the region's size the Jaccard index of the change itself is {ahead} above random's. At least {FAR} is "
            "wanted.",
        ),
        Flag(
            "The unions have enough superpixels",
            few > 0,
            f"LIME has at least {min(counts)} superpixels. {few} of {len(counts)} images have fewer than "
            f"{SUPERPIXELS}; there the best {UNIONS} are more than half of all.",
        ),
        Flag(
            "Attacks succeed",
            records.explanations < HALF * tried,
            f"{success_in_words(records)} Their regions cover {attacks.won_share:.1%} of an image on "
            f"average; all regions tried cover {attacks.tried_share:.1%}.",
        ),
        Flag(
            "Attacks stay in their region",
            attacks.escaped > 0,
            f"{attacks.escaped} of {tried} attacks changed a pixel outside of it.",
        ),
        Flag(
            "There are enough photographs",
            records.photographs < FEWEST,
            f"{records.photographs} photographs have a successful attack; {FEWEST} are needed for a verdict.",
        ),
    ]
