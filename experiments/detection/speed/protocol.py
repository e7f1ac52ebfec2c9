"""`evaluate.py speed`: what a detector costs beside its classifier (Schut & Gal, 2020: a real-time defense)."""

from dataclasses import asdict

import torch

from attacks.checks import at_least
from experiments.detection.speed.measure import batch_repeats, measure_speed
from experiments.detection.speed.records import FIELDS
from experiments.detection.speed.tables import chart, finding, flags_of, table, unsteady
from experiments.detection.timing import device_name
from experiments.results.result import Result
from experiments.study.study import Study


def speed(study: Study, *, repeats: int = 30) -> Result:
    """Return what each detector costs in time, parameters and operations.

    Args:
        study: A run with trained detectors.
        repeats: How often each time is taken.
    """
    at_least(1, repeats=repeats)
    records, differing = measure_speed(study, repeats)
    rows = [asdict(record) for record in records]
    meta = study.meta() | {
        "device_name": device_name(study.device),
        "threads": torch.get_num_threads(),
        "repeats": {"latency": repeats, "throughput": batch_repeats(repeats)},
        "shape": list(study.images.clean.shape[1:]),
        "unsteady": bool(unsteady(rows)),
        "fields": FIELDS,
    }
    return Result(
        protocol="speed",
        title="Cost of the defense",
        question="How much longer does a decision take with a detector than with the classifier alone, and what does "
        "the detector need?",
        finding=finding(rows, meta),
        meta=meta,
        rows=rows,
        tables=[table(rows, meta)],
        figures={"": chart(rows, meta)},
        flags=flags_of(rows, differing),
    )
