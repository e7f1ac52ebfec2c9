"""The records of the corruptions: how many benign images a detector flags, by corruption, severity and class."""

from dataclasses import dataclass
from typing import Final

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
