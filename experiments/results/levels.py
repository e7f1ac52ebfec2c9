"""The levels of the evaluation: the working false-positive rate, least AUROCs, budgets and numbers of seeds."""

from collections.abc import Sequence
from typing import Final

WORKING_RATE: Final = 0.05
"""The false-positive rate of the tables' threshold."""

DETECTED: Final = 0.75
"""The smallest AUROC at which an attack counts as detected."""

NOISY: Final = 0.6
"""AUROC against norm-matched noise below which a detector finds noise, not attacks."""

FAILS: Final = 0.5
"""Success rate below which an attack fails on most images."""

LARGE_LINF: Final = 16 / 255
"""L-inf budget above which a change of a colour image is not small by any custom."""

SEEDS: Final = 3
"""Seeds of detector training that a claim about detectors needs (PROTOCOL B12)."""


def mostly_fail(success_rates: Sequence[float | None]) -> bool:
    """Return whether most attacks fail on most images."""
    return 2 * sum(rate is not None and rate < FAILS for rate in success_rates) > len(success_rates)


def mistakes_noise(auroc: float | None, against_noise: float | None) -> bool:
    """Return whether a detector separates adversarial images from clean ones, but not from noise of the same norms."""
    return auroc is not None and against_noise is not None and auroc >= DETECTED and against_noise < NOISY
