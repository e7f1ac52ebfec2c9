"""What the recovery study says about itself."""

from typing import Final

from experiments.explanation.recover.attempts import Attempts
from experiments.explanation.recover.measured import FEWEST, Measured
from experiments.explanation.recover.recovered import PERTURBATION, UNIONS
from experiments.explanation.recover.tables import attempts_told
from experiments.explanation.subject import Explained
from experiments.results.result import Flag

FAR: Final = 0.25
"""Jaccard index at the region's size by which the positive control must be ahead of random."""

SUPERPIXELS: Final = 2 * UNIONS
"""Below these, the union of the best 20 is more than half of an image."""

HALF: Final = 0.5


def flags(found: Explained, attempts: Attempts, measured: Measured) -> list[Flag]:
    """Return what could be wrong."""
    ahead = measured.difference(PERTURBATION, of="level")
    counts = measured.found.superpixels
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
            len(attempts.adversarial) < HALF * len(attempts.image),
            f"{attempts_told(found, attempts)} Their regions have {attempts.regions.double().mean().item():.1%} of an "
            f"image on average, all that were tried {attempts.region.double().mean().item():.1%}.",
        ),
        Flag(
            "Attacks stay in their region",
            attempts.escaped > 0,
            f"{attempts.escaped} of {len(attempts.image)} attacks changed a pixel outside of it.",
        ),
        Flag(
            "There are photographs enough",
            measured.photographs < FEWEST,
            f"{measured.photographs} photographs have a successful attack; {FEWEST} are needed for a verdict.",
        ),
    ]
