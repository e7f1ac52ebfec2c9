"""Thresholds at a fixed false-positive rate, from the scores of clean calibration images."""

import math

from torch import Tensor


def threshold(calibration: Tensor, false_positive_rate: float) -> float | None:
    r"""Return the score above which an image is rejected.

    The order statistic :math:`\lceil (n + 1)(1 - a) \rceil` of n clean scores: a new clean image exceeds it with a
    probability of at most a (split conformal prediction).

    Args:
        calibration: (n,) scores of clean images, sorted ascending.
        false_positive_rate: a, in (0, 1).

    Returns:
        The threshold; None where n is too small for that rate, since no finite score then keeps the promise.

    Raises:
        ValueError: If the rate is not in (0, 1).
    """
    if not 0 < false_positive_rate < 1:
        msg = f"the false-positive rate must lie between 0 and 1, got {false_positive_rate}"
        raise ValueError(msg)
    rank = max(1, math.ceil(round((len(calibration) + 1) * (1 - false_positive_rate), 9)))
    return calibration[rank - 1].item() if rank <= len(calibration) else None
