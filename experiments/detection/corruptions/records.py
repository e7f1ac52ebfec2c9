"""The records of the corruptions: how many benign images a detector flags, by corruption, severity and class."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from experiments.results.bootstrap import clopper_pearson
from experiments.study.contenders import Contender

NONE: Final = "none"
"""The images as they are, of severity 0."""


@dataclass(frozen=True)
class CorruptionRecord:
    """How many images a detector flags under a corruption; see `FIELDS`."""

    detector: str
    trained_on: str | None
    seed: int | None
    corruption: str
    severity: int
    n: int
    flagged: float
    flagged_low: float
    flagged_high: float
    n_right: int
    flagged_right: float | None
    classifier_accuracy: float


@dataclass(frozen=True)
class ClassRecord:
    """How many images of a class a detector flags, over all corruptions and severities; see `FIELDS`."""

    detector: str
    trained_on: str | None
    seed: int | None
    label: int
    n: int
    flagged: float
    flagged_uncorrupted: float


FIELDS: Final = {
    "corruption, severity": f"{NONE}, 0: the images as they are",
    "n": "test images",
    "flagged": "share of n above the threshold: false positives, for nobody attacked them",
    "flagged_low, flagged_high": "95 % interval over images (Clopper-Pearson)",
    "n_right": "of n, those that the classifier gets right under the corruption",
    "flagged_right": "share of n_right above the threshold",
    "classifier_accuracy": "n_right / n",
    "label": "of a class record: the true class; n are its images, flagged is over all corruptions and severities",
}


def record(
    contender: Contender, threshold: float, corruption: str, severity: int, scores: Tensor, right: Tensor
) -> CorruptionRecord:
    """Return the record of a detector under a corruption.

    Args:
        contender: The detector.
        threshold: The score above which it flags an image.
        corruption: Name of the corruption.
        severity: Strength of the corruption, from 0 to 5.
        scores: (n,), the detector's.
        right: (n,) bool, whether the classifier is right under the corruption.
    """
    flagged = scores > threshold
    share, among = flagged.double().mean().item(), flagged[right]
    ends = clopper_pearson(share, len(scores))
    return CorruptionRecord(
        detector=contender.name,
        trained_on=contender.trained_on,
        seed=contender.seed,
        corruption=corruption,
        severity=severity,
        n=len(scores),
        flagged=share,
        flagged_low=ends.low,
        flagged_high=ends.high,
        n_right=len(among),
        flagged_right=among.double().mean().item() if len(among) else None,
        classifier_accuracy=right.double().mean().item(),
    )


def class_records(
    contender: Contender, threshold: float, clean: Tensor, corrupted: Sequence[Tensor], labels: Tensor
) -> Iterator[ClassRecord]:
    """Yield a detector's record of each class.

    Args:
        contender: The detector.
        threshold: The score above which it flags an image.
        clean: (n,) scores of the images as they are.
        corrupted: Such scores under each corruption and severity.
        labels: (n,), the true classes.
    """
    shares = (torch.stack(list(corrupted)) > threshold).double().mean(0)
    for label in sorted(set(labels.tolist())):
        rows = labels == label
        yield ClassRecord(
            detector=contender.name,
            trained_on=contender.trained_on,
            seed=contender.seed,
            label=label,
            n=int(rows.sum()),
            flagged=shares[rows].mean().item(),
            flagged_uncorrupted=(clean[rows] > threshold).double().mean().item(),
        )
