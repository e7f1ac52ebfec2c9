"""The records of the speed study: times, parameters and operations of each system."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from experiments.detection.tables import Record

ALONE: Final = "classifier alone"

BATCH: Final = 64
"""Images at a time for the throughput."""

WARM_UP: Final = 3
"""Runs that are not counted."""

Rows = Sequence[Record]


@dataclass(frozen=True)
class SpeedRecords:
    """What a decision of one system costs.

    Attributes:
        name: Of the detector, or `ALONE`.
        trained_on: Name of an attack; None: not trained.
        seed: Of the training; None: not trained.
        single: Seconds of each run on one image.
        many: Seconds of each run on a batch.
        trained_parameters: Of the detector's own network; of the classifier's, for the classifier alone.
        parameters: That class and score depend on.
        flops: Per image.
        classifier_passes: How often the classifier is asked for a class and a score.
        own_scores: Whether the timed pass gives the detector's own scores.
    """

    name: str
    trained_on: str | None
    seed: int | None
    single: Sequence[float]
    many: Sequence[float]
    trained_parameters: int
    parameters: int
    flops: float
    classifier_passes: int
    own_scores: bool


FIELDS: Final = {
    "latency_ms": "median time of one image, in milliseconds",
    "latency_p95_ms": "95th percentile of it",
    "throughput": f"images per second in batches of {BATCH}, from the median time",
    "latency_ratio, time_ratio": f"time per image over that of the classifier alone, at batch 1 and at batch {BATCH}",
    "trained_parameters": "of the detector's own network; of the classifier's, for the classifier alone",
    "parameters": "of all networks that class and score depend on, the classifier among them",
    "flops": "per image, a multiplication and an addition are two; convolutions and matrix products only",
    "classifier_passes": "how often the classifier is asked for a class and a score",
}


def rows_of(systems: Sequence[SpeedRecords]) -> list[dict[str, Any]]:
    """Return a row for each system; ratios are to the first, the classifier alone."""
    first = systems[0]
    return [
        {
            "detector": system.name,
            "trained_on": system.trained_on,
            "seed": system.seed,
            "latency_ms": 1000 * statistics.median(system.single),
            "latency_p95_ms": 1000 * torch.tensor(system.single, dtype=torch.float64).quantile(0.95).item(),
            "latency_ratio": statistics.median(system.single) / statistics.median(first.single),
            "throughput": BATCH / statistics.median(system.many),
            "time_ratio": statistics.median(system.many) / statistics.median(first.many),
            "trained_parameters": system.trained_parameters,
            "parameters": system.parameters,
            "flops": system.flops,
            "flops_ratio": 1.0 if system is first else system.flops / first.flops if first.flops else None,
            "classifier_passes": system.classifier_passes,
        }
        for system in systems
    ]
