"""The rows of a detection table."""

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Contender:
    """A detector of the tables.

    Attributes:
        trained_on: Name of the attack; None for a training-free detector.
        seed: Seed of the training; None for a training-free detector.
        module: Gives scores (N,).
        calibration: (n,) sorted scores of the clean calibration images.
        remark: A warning about a detector from outside the run, with its consequence; empty if there is none.
        fit_seconds: How long its fit took; None: it was not fitted here.
    """

    name: str
    trained_on: str | None
    seed: int | None
    module: nn.Module
    calibration: Tensor
    remark: str = ""
    fit_seconds: float | None = None
