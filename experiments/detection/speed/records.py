"""The records of the speed study: times, parameters and operations of each system."""

from dataclasses import dataclass
from typing import Final

ALONE: Final = "classifier alone"

BATCH: Final = 64
"""Images at a time for the throughput."""

WARM_UP: Final = 3
"""Runs that are not counted."""


@dataclass(frozen=True)
class SpeedRecord:
    """What a decision of a system costs: class and score; see `FIELDS`. Ratios are to the classifier alone."""

    detector: str
    trained_on: str | None
    seed: int | None
    latency_ms: float
    latency_p95_ms: float
    latency_ratio: float
    throughput: float
    time_ratio: float
    trained_parameters: int
    parameters: int
    flops: float
    flops_ratio: float | None
    classifier_passes: int


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
