"""How well scores tell adversarial images from clean ones."""

import torch
import torchmetrics
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc, binary_average_precision, binary_roc


def probabilities(scores: Tensor) -> Tensor:
    """Return values in (0, 1) that grow with the scores, in float64, batch by batch.

    torchmetrics passes scores outside [0, 1] through a float32 sigmoid, which is exactly 1 above 17 and so turns
    different scores into ties; s / (1 + |s|) in float64 keeps apart what differs by more than about 1e-16 s^2.

    Args:
        scores: (N,), finite.
    """
    scores = scores.double()
    return 0.5 + 0.5 * scores / (1 + scores.abs())


def auroc(clean: Tensor, adversarial: Tensor) -> float:
    """Return the chance that an adversarial image scores higher than a clean one, ties counted half."""
    return binary_auroc(*_joined(clean, adversarial)).item()


def average_precision(clean: Tensor, adversarial: Tensor) -> float:
    """Return the area under precision over recall, adversarial being the positive class."""
    return binary_average_precision(*_joined(clean, adversarial)).item()


def roc(clean: Tensor, adversarial: Tensor) -> tuple[Tensor, Tensor]:
    """Return the false- and the true-positive rates (k,) at every threshold, from (0, 0) to (1, 1)."""
    false_positive_rate, true_positive_rate, _ = binary_roc(*_joined(clean, adversarial))
    return false_positive_rate, true_positive_rate


def fpr_at_tpr(clean: Tensor, adversarial: Tensor, tpr: float = 0.95) -> float:
    """Return the smallest false-positive rate at which at least `tpr` of the adversarial images are found."""
    false_positive_rate, true_positive_rate = roc(clean, adversarial)
    return false_positive_rate[true_positive_rate >= tpr - 1e-9].min().item()


def balanced_accuracy(clean: Tensor, adversarial: Tensor, threshold: float = 0.0) -> float:
    """Return the mean of the shares told right of both kinds; score 0 is probability .5, the paper's threshold."""
    return (rate_above(adversarial, threshold) + 1 - rate_above(clean, threshold)) / 2


def rate_above(scores: Tensor, threshold: float) -> float:
    """Return the share of the scores above the threshold."""
    return (scores > threshold).double().mean().item()


def training_metrics() -> torchmetrics.MetricCollection:
    """Return what a detector logs while it trains and under `train.py test`; takes probabilities and 0/1 targets."""
    classification = torchmetrics.classification
    return torchmetrics.MetricCollection(
        {
            "accuracy": classification.BinaryAccuracy(),
            "auroc": classification.BinaryAUROC(),
            "average_precision": classification.BinaryAveragePrecision(),
        }
    )


def _joined(clean: Tensor, adversarial: Tensor) -> tuple[Tensor, Tensor]:
    """Return ranks in (0, 1), which keep the order of any finite scores exactly, and 0/1 targets."""
    _, ranks = torch.unique(torch.cat([clean, adversarial]), return_inverse=True)
    return (ranks + 1) / (len(ranks) + 1), torch.cat([torch.zeros(len(clean)), torch.ones(len(adversarial))]).long()
