"""Table, chart, flags and finding of the speed study, from its rows."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from experiments.detection.speed.records import BATCH, WARM_UP
from experiments.detection.tables import listing_flag, table_of
from experiments.results.charts import bars
from experiments.results.records import Rows
from experiments.results.result import Flag, Table
from experiments.results.verdicts import counted

_UNSTEADY: Final = 2
"""How many times the median the 95th percentile may be."""


def table(rows: Rows, meta: Mapping[str, Any]) -> Table:
    """Return times, parameters and operations of all systems."""
    twice = [row["detector"] for row in rows if row["classifier_passes"] > 1]
    return table_of(
        "Cost of a decision: class and score",
        rows,
        {
            "system": "detector",
            "latency at batch 1, ms": "latency_ms",
            "95th percentile, ms": "latency_p95_ms",
            "ratio": "latency_ratio",
            f"images/s at batch {BATCH}": lambda row: round(row["throughput"]),
            "ratio of time": "time_ratio",
            "parameters trained": "trained_parameters",
            "parameters in all": "parameters",
            "MFLOP per image": lambda row: row["flops"] / 1e6,
            "ratio of FLOP": "flops_ratio",
        },
        f"{meta['device_name']} ({meta['device']}), {counted(meta['threads'], 'threads')}, images "
        f"{' x '.join(map(str, meta['shape']))}; medians of {meta['repeats']['latency']} and "
        f"{meta['repeats']['throughput']} runs after {WARM_UP} more; the systems take turns. Ratios are to the "
        "classifier alone. Times vary between runs and machines; parameters and FLOP do not. FLOP: two for a "
        "multiplication with its addition, in convolutions and matrix products, backward ones included."
        + (f" The classifier is asked more than once by {', '.join(twice)}." if twice else ""),
    )


def chart(rows: Rows, meta: Mapping[str, Any]) -> bytes:
    """Return latency, time in batches and operations as a PNG of bars."""

    def times(row: Mapping[str, Any], ratio: str) -> str:
        return "" if row[ratio] is None else f"{row[ratio]:.1f} x"

    panels: dict[str, dict[str, tuple[float, float | None, str]]] = {
        "latency at batch 1, ms (line: to the 95th percentile)": {
            row["detector"]: (row["latency_ms"], row["latency_p95_ms"], times(row, "latency_ratio")) for row in rows
        },
        f"time per image at batch {BATCH}, ms": {
            row["detector"]: (1000 / row["throughput"], None, times(row, "time_ratio")) for row in rows
        },
        "MFLOP per image": {row["detector"]: (row["flops"] / 1e6, None, times(row, "flops_ratio")) for row in rows},
    }
    machine = f"{meta['device_name']}, {counted(meta['threads'], 'threads')}"
    title = f"Cost of a decision on {machine}; x: times the classifier alone"
    return bars(title, panels)


def unsteady(rows: Rows) -> list[str]:
    """Return the systems whose times vary too much to be trusted."""
    return [row["detector"] for row in rows if row["latency_p95_ms"] > _UNSTEADY * row["latency_ms"]]


def finding(rows: Rows, meta: Mapping[str, Any]) -> str:
    """Return how much longer a decision takes with a detector."""
    alone, rest = rows[0], rows[1:]
    single, many = (
        [f"{row[ratio]:.2f} ({row['detector']})" for row in (pick(rest, key=lambda r: r[ratio]) for pick in (min, max))]
        for ratio in ("latency_ratio", "time_ratio")
    )
    caution = " These times are unsteady and decide nothing: repeat them on an idle machine." if unsteady(rows) else ""
    return (
        f"On {meta['device_name']} with {counted(meta['threads'], 'threads')} the classifier alone takes "
        f"{alone['latency_ms']:.2f} ms for one image. With a detector it takes between {' and '.join(single)} times as "
        f"long. In large batches it takes between {' and '.join(many)} times as long. {_learnt(rest)}"
    ).strip() + caution


def _learnt(rows: Rows) -> str:
    """Return how the learnt saliency compares with the gradient: the paper calls it cheap."""
    by_detector = {row["detector"]: row for row in rows}
    if not {"jsd", "spd"} <= by_detector.keys():
        return ""
    learnt, gradient = by_detector["spd"], by_detector["jsd"]
    return (
        "The learnt map (spd) costs "
        f"{learnt['latency_ms'] / gradient['latency_ms']:.2f} times as much time as the Jacobian (jsd) for one image, "
        f"and {gradient['throughput'] / learnt['throughput']:.2f} times as much in large batches."
    )


def flags_of(rows: Rows, differing: Sequence[str]) -> list[Flag]:
    """Return the flags. `differing` are the systems whose timed pass gives other scores than the detector."""
    return [
        listing_flag(
            "Unsteady times",
            unsteady(rows),
            f"The 95th percentile is more than {_UNSTEADY} times the median (a busy machine?): {{}}.",
            f"No 95th percentile is more than {_UNSTEADY} times its median.",
        ),
        listing_flag(
            "The timed pass gives other scores",
            differing,
            "The pass that was timed gives other scores than the detector: {}.",
            "The passes that were timed give the detectors' own scores.",
        ),
    ]
