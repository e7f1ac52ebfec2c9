"""Thresholds at a fixed false-positive rate, from the scores of clean calibration images."""

import math

from scipy import stats
from torch import Tensor

from attacks.errors import InputError


def threshold(calibration: Tensor, false_positive_rate: float) -> float | None:
    r"""Return the score above which an image is rejected.

    The order statistic :math:`\lceil (n + 1)(1 - a) \rceil` of n clean scores: a new clean image exceeds it with a
    probability of at most a (split conformal prediction).

    Args:
        calibration: (n,) scores of clean images, sorted ascending.
        false_positive_rate: a, in (0, 1).

    Returns:
        The threshold; None if n is too small for that rate.

    Raises:
        ValueError: If the rate is not in (0, 1).
    """
    if not 0 < false_positive_rate < 1:
        msg = f"the false-positive rate must lie between 0 and 1, got {false_positive_rate}"
        raise InputError(msg)
    rank = _rank(len(calibration), false_positive_rate)
    return calibration[rank - 1].item() if rank <= len(calibration) else None


def rate_interval(count: int, false_positive_rate: float, level: float = 0.95) -> tuple[float, float] | None:
    """Return the interval of the threshold's true false-positive rate over draws of the calibration images.

    The rate of the k-th of n order statistics is distributed as Beta(n + 1 - k, k), whatever the scores.

    Args:
        count: Number of calibration images, n.
        false_positive_rate: The nominal rate, in (0, 1).
        level: Probability of the central interval.

    Returns:
        Its two ends; None if n is too small for a threshold.
    """
    rank = _rank(count, false_positive_rate)
    if rank > count:
        return None
    low, high = stats.beta.interval(level, count + 1 - rank, rank)
    return float(low), float(high)


def _rank(count: int, false_positive_rate: float) -> int:
    return max(1, math.ceil(round((count + 1) * (1 - false_positive_rate), 9)))
