"""The records of the white-box protocol: one for each detector, phase, seed and attack, and the worst case of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from attacks import norms
from detectors import metrics
from experiments.results.bootstrap import Resampling, interval
from experiments.study.metrics import WORKING_RATE, accepted, rate_flagged
from experiments.white_box.attacker import Outcome, Sample

WORST: Final = "worst case"
LENIENT_RATE: Final = 0.5
"""The false-positive rate of SR@50."""

FALLEN: Final = 0.9
"""Worst-case SR@5 from which on a detector counts as fallen."""

FIELDS: Final = {
    "phase": "before or after adversarial retraining",
    "n": "clean test images attacked, the first of the test split; labels are the true ones",
    "n_right": "of these, classified right before the attack: the denominator of the sr",
    "classifier_accuracy": "share of n classified right after the attack (the paper's column)",
    "detector_accuracy": "balanced, at probability .5, of the n clean and the n attacked (the paper's column); null "
    "for training-free detectors",
    "sr_at_5, sr_at_50": "attacker's success: of n_right, those misclassified and accepted at 5 and 50 % FPR",
    "sr_at_5_low, sr_at_5_high": "95 % bootstrap interval over images",
    "fooled_both": "of n_right, those misclassified and accepted at probability .5; null for training-free detectors",
    "robust_accuracy": "share of n that is, after the attack, right or rejected at 5 % FPR",
    "clean_right_and_accepted": "share of n that is right and accepted at 5 % FPR without an attack",
    "realised_fpr": "of the 5 % threshold, on the n clean images",
    "auroc": "attacked against clean images",
    "forward_passes, backward_passes, seconds": "per image, mean",
    "worst case": "an image counts as lost if any attack of the suite wins it",
}


def row(outcome: Outcome, resampling: Resampling, sample: Sample) -> dict[str, Any]:
    """Return the record of an attack on a detector."""
    learnt = outcome.subject.learnt
    return {
        **_whose(outcome),
        "attack": outcome.attack,
        **_success(outcome, outcome.fooled(WORKING_RATE), resampling),
        "sr_at_50": outcome.success(LENIENT_RATE),
        "fooled_both": outcome.success(None) if learnt else None,
        "classifier_accuracy": 1 - _share(outcome.wrong),
        "detector_accuracy": outcome.detector_accuracy if learnt else None,
        "robust_accuracy": 1 - _share(_lost(outcome)),
        "auroc": metrics.auroc(outcome.clean_scores, outcome.scores),
        **_clean(outcome),
        "linf": norms.linf(outcome.adversarial - sample.images[: len(outcome.adversarial)]).amax().item(),
        "forward_passes": outcome.forward_passes,
        "backward_passes": outcome.backward_passes,
        "seconds": outcome.seconds,
    }


def worst_row(outcomes: Sequence[Outcome], resampling: Resampling) -> dict[str, Any]:
    """Return the record of the worst case, image by image, over all attacks on one detector.

    Args:
        outcomes: Of one subject on the same images, at least one.
        resampling: Of the images.
    """
    first = outcomes[0]
    learnt = first.subject.learnt
    right = int(first.right_before.sum())

    def any_of(found: list[Tensor]) -> Tensor:
        return torch.stack(found).any(0)

    def success(rate: float | None) -> float | None:
        return int(any_of([each.fooled(rate) for each in outcomes]).sum()) / right if right else None

    return {
        **_whose(first),
        "attack": WORST,
        **_success(first, any_of([each.fooled(WORKING_RATE) for each in outcomes]), resampling),
        "sr_at_50": success(LENIENT_RATE),
        "fooled_both": success(None) if learnt else None,
        "classifier_accuracy": 1 - _share(any_of([each.wrong for each in outcomes])),
        "detector_accuracy": None,
        "robust_accuracy": 1 - _share(any_of([_lost(each) for each in outcomes])),
        "auroc": None,
        **_clean(first),
        "linf": None,
        "forward_passes": sum(each.forward_passes for each in outcomes),
        "backward_passes": sum(each.backward_passes for each in outcomes),
        "seconds": sum(each.seconds for each in outcomes),
    }


def of(rows: Sequence[Mapping[str, Any]], detector: str, phase: str, attack: str) -> list[Mapping[str, Any]]:
    """Return the records of an attack on a detector before or after retraining, one for each seed."""
    return [row for row in rows if (row["detector"], row["phase"], row["attack"]) == (detector, phase, attack)]


def mean_of(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Return the mean of a field over records; None where none has it."""
    values = [each[name] for each in rows if each[name] is not None]
    return sum(values) / len(values) if values else None


def _whose(outcome: Outcome) -> dict[str, Any]:
    contender = outcome.subject.contender
    return {
        "detector": contender.name,
        "phase": outcome.subject.phase,
        "trained_on": contender.trained_on,
        "seed": contender.seed,
    }


def _success(outcome: Outcome, fooled: Tensor, resampling: Resampling) -> dict[str, Any]:
    right = outcome.right_before
    count = int(right.sum())
    found = {"n": len(right), "n_right": count, "sr_at_5": None, "sr_at_5_low": None, "sr_at_5_high": None}
    if not count:
        return found
    value = int(fooled.sum()) / count
    ends = interval(value, resampling.ratio(fooled, right))
    return found | {"sr_at_5": value, "sr_at_5_low": ends.low, "sr_at_5_high": ends.high}


def _lost(outcome: Outcome) -> Tensor:
    """Return which images (n,) end up wrong and accepted, whether they were right before or not."""
    return outcome.wrong & accepted(outcome.subject.contender, outcome.scores)


def _clean(outcome: Outcome) -> dict[str, Any]:
    contender = outcome.subject.contender
    both = outcome.right_before & accepted(contender, outcome.clean_scores)
    return {
        "clean_right_and_accepted": _share(both),
        "realised_fpr": rate_flagged(contender, outcome.clean_scores),
    }


def _share(values: Tensor) -> float:
    return values.double().mean().item()
