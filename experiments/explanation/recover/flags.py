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
    attempts, counts = records.attempts, records.superpixels
    ahead = records.difference(PERTURBATION, measure="level").interval
    few = int((counts < SUPERPIXELS).sum())
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
            f"LIME has at least {int(counts.min())} superpixels. {few} of {len(counts)} images have fewer than "
            f"{SUPERPIXELS}; there the best {UNIONS} are more than half of all.",
        ),
        Flag(
            "Attacks succeed",
            records.explanations < HALF * len(attempts.image),
            f"{success_in_words(records)} Their regions cover {attempts.regions.double().mean().item():.1%} of an "
            f"image on average; all regions tried cover {attempts.region.double().mean().item():.1%}.",
        ),
        Flag(
            "Attacks stay in their region",
            attempts.escaped > 0,
            f"{attempts.escaped} of {len(attempts.image)} attacks changed a pixel outside of it.",
        ),
        Flag(
            "There are enough photographs",
            records.photographs < FEWEST,
            f"{records.photographs} photographs have a successful attack; {FEWEST} are needed for a verdict.",
        ),
    ]
