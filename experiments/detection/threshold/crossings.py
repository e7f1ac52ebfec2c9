"""The perturbation size below which a detector fails, and the verdict on the paper's claim."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Final

from experiments.detection.tables import grouped
from experiments.detection.threshold.records import ThresholdRecords, curves_of, values_of
from experiments.results.bootstrap import Interval, PlainStatistic, clopper_pearson
from experiments.results.levels import DETECTED
from experiments.results.records import Record, mean_known
from experiments.results.verdicts import FEWEST, Verdict, all_above
from experiments.study.metrics import Metric, shown_in

FEWEST_PAIRS: Final = FEWEST
"""Points with fewer pairs are ignored in the search for the size at which detection fails."""

FRAGILE: Final = ("id", "jsd")
"""Detectors that fail below some perturbation size, according to the paper."""

ROBUST: Final = ("smd", "spd")
"""Detectors that do not fail, according to the paper."""

UNSURE: Final = f"too close to {DETECTED} to tell"
NOT_MEASURED: Final = "not measured"
"""Why it is not decided whether a detector fails."""

_DOES_NOT: Final = {False: "does not", True: "do not"}


@dataclass(frozen=True)
class Crossing:
    """The size at which a detector fails, searched from its best size towards smaller ones.

    Attributes:
        below: The interpolated size below which it is under the level; None if it never crosses the level.
        reached: Whether it reaches the level at any size.
        smallest: The smallest size examined; None if there is none.
        best: The size of the highest value; None if there is none.
    """

    below: float | None
    reached: bool
    smallest: float | None
    best: float | None = None

    @property
    def fails(self) -> bool | None:
        """Whether it is under the level below some size; None if nothing was measured."""
        return None if self.smallest is None else self.below is not None or not self.reached

    def __str__(self) -> str:
        """Return the size, or the reason why there is none."""
        if self.smallest is None:
            return "not measured"
        if not self.reached:
            return "never reached"
        return f"none down to {self.smallest:g}" if self.below is None else f"{self.below:.4f}"


def crossing_metrics() -> list[Metric]:
    """Return the metrics whose crossings of the level are searched."""
    return [metric for metric in shown_in("threshold") if metric.key in {"auroc", "accuracy"}]


def crossing(sizes: Sequence[float], values: Sequence[float | None], level: float = DETECTED) -> Crossing:
    """Return where values fall under a level, searched from the size of the highest value towards smaller sizes.

    Between two neighbouring sizes the value is interpolated linearly. Sizes without a value are skipped.
    """
    points = [(size, value) for size, value in zip(sizes, values, strict=True) if value is not None]
    if not points:
        return Crossing(None, reached=False, smallest=None)
    best = max(range(len(points)), key=lambda place: points[place][1])
    reached = points[best][1] >= level
    smallest = points[0][0]
    for place in range(best, 0, -1) if reached else ():
        (small, low), (large, high) = points[place - 1], points[place]
        if low < level:
            at = small + (large - small) * (level - low) / (high - low)
            return Crossing(at, reached, smallest, points[best][0])
    return Crossing(None, reached, smallest, points[best][0])


def interpolated(at: float, sizes: Sequence[float], values: Sequence[float | None]) -> float | None:
    """Return the value at a size, interpolated linearly; None outside the range of the sizes."""
    points = [(size, value) for size, value in zip(sizes, values, strict=True) if value is not None]
    for (small, low), (large, high) in pairwise(points):
        if small <= at <= large:
            return low + (high - low) * (at - small) / (large - small)
    return None


def lowest_of(where: Crossing, areas: Mapping[float, PlainStatistic]) -> tuple[float, Interval, int] | None:
    """Return size, AUROC and number of pairs of the lowest AUROC, among sizes up to the best one.

    If an interval lies under the level, the detector fails: the lowest upper end is taken. Otherwise the lowest lower
    end is taken. An interval without width, as of an AUROC of 1, is replaced by Clopper and Pearson's.
    """
    intervals = {
        size: clopper_pearson(area.value, area.n) if area.flat else Interval(area.value, area.low, area.high)
        for size, area in areas.items()
        if where.best is not None and size <= where.best
    }
    if not intervals:
        return None
    failing = [size for size in intervals if intervals[size].high < DETECTED]
    size = min(failing or intervals, key=lambda size: intervals[size].high if failing else intervals[size].low)
    return size, intervals[size], areas[size].n


def surely_fails(lowest: Interval | None) -> bool | None:
    """Return whether a detector fails, by the AUROC of `lowest_of`; None: not decided."""
    return {"holds": False, "does not hold": True}.get(all_above([lowest], DETECTED))


def crossings_of(records: ThresholdRecords) -> list[dict[str, Any]]:
    """Return where each curve of each metric falls under the level. Epsilon 0 is no perturbation and is left out."""
    crossings = []
    for line, points in curves_of(records.rows).items():
        attack, detector, trained_on, subset = line
        sizes = [size for size, rows in points.items() if size > 0 and rows[0].n >= FEWEST_PAIRS]
        lengths = [mean_known(values_of(points[size], "median_l2")) for size in sizes]
        for metric in crossing_metrics():
            where = crossing(sizes, [mean_known(values_of(points[size], metric.key)) for size in sizes])
            count = len(next(iter(points.values())))
            seeds = [crossing(sizes, [points[size][seed].value(metric.key) for size in sizes]) for seed in range(count)]
            if where.smallest is None and metric.key != "auroc":
                continue
            by_size = {size: records.areas[*line, size] for size in sizes if (*line, size) in records.areas}
            lowest = lowest_of(where, by_size) if metric.key == "auroc" else None
            failing = where.fails if metric.key != "auroc" else surely_fails(lowest and lowest[1])
            crossings.append(
                {
                    "attack": attack,
                    "detector": detector,
                    "trained_on": trained_on,
                    "subset": subset,
                    "measure": metric.key,
                    "epsilon": where.below,
                    "median_l2": None if where.below is None else interpolated(where.below, sizes, lengths),
                    "fails": failing,
                    "lowest": lowest and {"epsilon": lowest[0], **asdict(lowest[1]), "pairs": lowest[2]},
                    "reason": UNSURE if failing is None and where.smallest is not None else NOT_MEASURED,
                    "told": str(where),
                    "smallest_epsilon": where.smallest,
                    "seeds": [seed.below for seed in seeds],
                    "seeds_failing": sum(bool(seed.fails) for seed in seeds),
                }
            )
    return crossings


def claim(crossings: Mapping[str, Record], smallest: float) -> tuple[Verdict, str]:
    """Return the verdict on the paper's claim of threshold behaviour, and the reason where it does not hold.

    The claim: ID and JSD fail below some size, SMD and SPD do not. That a detector does not fail is known only down to
    the smallest epsilon with enough pairs.

    Args:
        crossings: The records of `crossings_of` for one attack and one subset of the pairs, by detector.
        smallest: The smallest epsilon of the sweep above 0.
    """
    failing = {name: crossings[name]["fails"] if name in crossings else None for name in (*FRAGILE, *ROBUST)}
    undecided = [
        (crossings[name].get("reason", NOT_MEASURED) if name in crossings else NOT_MEASURED, name)
        for name, value in failing.items()
        if value is None
    ]
    if against := [name for name in ROBUST if failing[name]]:
        return "does not hold", f"{' and '.join(against)} {'fail' if len(against) > 1 else 'fails'} too"
    sound = [name for name in FRAGILE if failing[name] is False]
    short = [name for name in sound if crossings[name]["smallest_epsilon"] > smallest]
    if robust := [name for name in sound if name not in short]:
        return "does not hold", f"{' and '.join(robust)} {_DOES_NOT[len(robust) > 1]} fail"
    if undecided:
        return "not decided", "; ".join(f"{', '.join(names)} {why}" for why, names in grouped(undecided).items())
    if short:
        least = crossings[short[0]]["smallest_epsilon"]
        return "not decided", f"{' and '.join(short)}: too few pairs below {least:g}"
    return "holds", ""
