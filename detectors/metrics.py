"""Metrics of detection: how well scores separate adversarial from clean images."""

from typing import Any

import torch
import torchmetrics
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_average_precision, binary_roc
from torchmetrics.utilities import dim_zero_cat


def probabilities(scores: Tensor) -> Tensor:
    """Return values in (0, 1) that grow with the scores, in float64, batch by batch.

    torchmetrics passes scores outside [0, 1] through a float32 sigmoid, which is exactly 1 above 17 and so turns
    different scores into ties; s / (1 + |s|) in float64 keeps apart what differs by more than about 1e-16 s^2.

    Args:
        scores: (N,), finite.
    """
    scores = scores.double()
    return 0.5 + 0.5 * scores / (1 + scores.abs())


def auroc(clean: Tensor, adversarial: Tensor) -> float | None:
    """Return the chance that an adversarial image scores higher than a clean one, ties counted half.

    This and the functions below take scores (n,) of clean and (m,) of adversarial images, and return None if there are
    none of either kind, or if a score is NaN.
    """
    joined = ranked(clean, adversarial)
    return None if joined is None else binary_auroc(*joined).item()


def average_precision(clean: Tensor, adversarial: Tensor) -> float | None:
    """Return the area under precision over recall, adversarial being the positive class."""
    joined = ranked(clean, adversarial)
    return None if joined is None else binary_average_precision(*joined).item()


def roc(clean: Tensor, adversarial: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return the false- and the true-positive rates (k,) at every threshold, from (0, 0) to (1, 1)."""
    joined = ranked(clean, adversarial)
    return None if joined is None else binary_roc(*joined)[:2]


def fpr_at_tpr(clean: Tensor, adversarial: Tensor, tpr: float = 0.95) -> float | None:
    """Return the smallest false-positive rate at which at least `tpr` of the adversarial images are rejected."""
    rates = roc(clean, adversarial)
    return None if rates is None else rates[0][rates[1] >= tpr - 1e-9].min().item()


def balanced_accuracy(clean: Tensor, adversarial: Tensor, threshold: float = 0.0) -> float | None:
    """Return the mean of the accuracies on both kinds; score 0 is probability .5, the paper's threshold."""
    false, true = rate_above(clean, threshold), rate_above(adversarial, threshold)
    return None if false is None or true is None else (true + 1 - false) / 2


def rate_above(scores: Tensor, threshold: float) -> float | None:
    """Return the share of the scores (n,) above the threshold."""
    return (scores > threshold).double().mean().item() if _known(scores) else None


def training_metrics() -> torchmetrics.MetricCollection:
    """Return what a detector logs in `train.py fit` and `test`; takes probabilities and 0/1 targets.

    An area is NaN if the images are of one kind, or a score is NaN.
    """
    return torchmetrics.MetricCollection(
        {
            "accuracy": torchmetrics.classification.BinaryAccuracy(),
            "auroc": _AUROC(),
            "average_precision": _AveragePrecision(),
        }
    )


class _AUROC(torchmetrics.classification.BinaryAUROC):
    def compute(self) -> Tensor:  # type: ignore[override]
        return _of_both_kinds(self, super().compute())


class _AveragePrecision(torchmetrics.classification.BinaryAveragePrecision):
    def compute(self) -> Tensor:  # type: ignore[override]
        return _of_both_kinds(self, super().compute())


def _of_both_kinds(metric: Any, value: Tensor) -> Tensor:
    scores, targets = dim_zero_cat(metric.preds), dim_zero_cat(metric.target)
    defined = (targets == 0).any() & (targets == 1).any() & ~scores.isnan().any()
    return value.where(defined, torch.nan)


def _known(scores: Tensor) -> bool:
    return len(scores) > 0 and not bool(scores.isnan().any())


def ranked(clean: Tensor, adversarial: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return ranks (n + m,) in (0, 1), which keep the order of any scores exactly, and their targets 0 or 1.

    None if there are none of either kind, or a score is NaN.
    """
    if not (_known(clean) and _known(adversarial)):
        return None
    _, ranks = torch.unique(torch.cat([clean, adversarial]), return_inverse=True)
    return (ranks + 1) / (len(ranks) + 1), torch.cat([torch.zeros(len(clean)), torch.ones(len(adversarial))]).long()
