"""`evaluate.py transfer`: detectors x trained-on x tested-on (Schut & Gal, 2020, Figure 2 and appendix G)."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.detection.transfer.findings import finding, flags_of
from experiments.detection.transfer.measure import measure_transfer
from experiments.detection.transfer.records import TransferRow, summary
from experiments.detection.transfer.tables import tables_of
from experiments.results.charts import grouped_bars, heat_maps
from experiments.results.records import flat
from experiments.results.result import Result
from experiments.study.metrics import metrics_of
from experiments.study.study import Study


def transfer(study: Study, *, resamples: int = 1000) -> Result:
    """Return the table of every detector under every attack.

    Args:
        study: A run with trained detectors.
        resamples: Bootstrap resamples of the intervals.
    """
    records = measure_transfer(study, resamples)
    rows = records.rows
    meta = study.meta() | {
        "classifier_accuracy": records.accuracy,
        "resamples": resamples,
        "contrasts": records.contrasts,
        "best_two": records.ranking.best_two,
        "underflow": records.underflow,
        "noise_ratios": records.noise_ratios,
        "headline_subset": records.ranking.subset,
        "fields": {
            "n": "pairs of a clean image and its adversarial image",
            "subset": "all: every pair; successful: right before, wrong after; failed: right before and after",
            **{metric.key: metric.meaning for metric in metrics_of("transfer")},
        },
    }
    title = f"AUROC on all pairs, {meta['data']}, seeds {', '.join(map(str, meta['seeds']))}"
    by_detector = _by_detector(rows)
    return Result(
        protocol="transfer",
        title="Detectors x trained on x tested on",
        question="How well does each detector, trained on one attack, find the images of every attack, and does it "
        "find attacks or any noise of that size?",
        finding=finding(records.ranking, meta),
        meta=meta,
        rows=list(map(flat, rows)),
        tables=tables_of(records, meta),
        figures={"": heat_maps(title, by_detector), "bars": grouped_bars(title, by_detector)},
        flags=flags_of(records, meta),
    )


def _by_detector(rows: Sequence[TransferRow]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """Return the AUROC by detector, then trained on, then tested on; the training-free ones are one block."""
    blocks: dict[str, dict[str, Mapping[str, Any]]] = {}
    free = {row.detector for row in rows if row.trained_on is None}
    for (detector, trained_on), cells in summary(rows).items():
        block, line = ("training-free", detector) if detector in free else (detector, trained_on)
        blocks.setdefault(block, {})[line] = cells
    return blocks
