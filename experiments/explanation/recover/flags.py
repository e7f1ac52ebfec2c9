"""What `evaluate.py recover` says about itself."""

from typing import Final

from experiments.explanation.recover.findings import success_in_words
from experiments.explanation.recover.records import PERTURBATION, UNIONS, RecoverRecords
from experiments.results.result import Flag
from experiments.results.verdicts import FEWEST

FAR: Final = 0.25
"""The least lead of the positive control over random, in Jaccard index at the region's size."""

SUPERPIXELS: Final = 2 * UNIONS
"""Of fewer superpixels than these the best 20 are more than half."""

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
            f"At the region's size the change itself has a Jaccard index {ahead} above random's; it must be ahead by "
            f"{FAR}.",
        ),
        Flag(
            "The unions have superpixels enough",
            few > 0,
            f"LIME has {int(counts.min())} superpixels or more. On {few} of {len(counts)} images there are fewer than "
            f"{SUPERPIXELS}, of which the best {UNIONS} are more than half.",
        ),
        Flag(
            "Attacks succeed",
            records.explanations < HALF * len(attempts.image),
            f"{success_in_words(records)} Their regions have {attempts.regions.double().mean().item():.1%} of an "
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
