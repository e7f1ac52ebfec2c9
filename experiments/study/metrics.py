"""The metrics of a detection table, from scores (PROTOCOL B)."""

from typing import Final

import torch
from torch import Tensor

from detectors import metrics
from detectors.calibration import threshold
from experiments.study.contenders import Contender

RATES: Final = {"tpr_at_1_fpr": 0.01, "tpr_at_5_fpr": 0.05, "tpr_at_10_fpr": 0.1}
WORKING_RATE: Final = 0.05
"""The false-positive rate of the tables' threshold."""

DETECTED: Final = 0.75
"""AUROC from which on an attack counts as detected."""

SEEDS: Final = 3
"""Seeds of detector training that a claim about detectors needs (PROTOCOL B12)."""

SMALLEST_CALIBRATION: Final = {0.01: 1000}
"""Rates that are not reported below so many calibration images."""


def measure(contender: Contender, clean: Tensor, adversarial: Tensor) -> dict[str, float | None]:
    """Return the metrics of the scores of pairs; null where they are not defined, as of no pairs.

    Args:
        contender: Its calibration scores give the thresholds.
        clean: (n,) scores of clean images.
        adversarial: (n,) scores of their twins.
    """
    learnt = contender.trained_on is not None
    return {
        "accuracy": metrics.balanced_accuracy(clean, adversarial) if learnt else None,
        "auroc": metrics.auroc(clean, adversarial),
        "average_precision": metrics.average_precision(clean, adversarial),
        **{name: rate_flagged(contender, adversarial, rate) for name, rate in RATES.items()},
        "fpr_at_95_tpr": metrics.fpr_at_tpr(clean, adversarial),
    }


def limit(contender: Contender, rate: float = WORKING_RATE) -> float | None:
    """Return the threshold at a false-positive rate; None where the calibration images are too few for it."""
    if len(contender.calibration) < SMALLEST_CALIBRATION.get(rate, 0):
        return None
    return threshold(contender.calibration, rate)


def rate_flagged(contender: Contender, scores: Tensor, rate: float = WORKING_RATE) -> float | None:
    """Return the share of scores above the threshold at a false-positive rate; None without threshold or scores."""
    found = limit(contender, rate)
    return None if found is None else metrics.rate_above(scores, found)


def accepted(contender: Contender, scores: Tensor, rate: float = WORKING_RATE) -> Tensor:
    """Return (n,) bool: which images pass the threshold; without a threshold all do."""
    found = limit(contender, rate)
    return torch.ones_like(scores, dtype=torch.bool) if found is None else scores <= found
