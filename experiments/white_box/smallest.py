"""The smallest budget at which each image is won: its record and its table."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from experiments.results.bootstrap import Interval, clopper_pearson
from experiments.results.result import Table
from experiments.white_box.records import NORMS, Rows

ROUNDING: Final = 1e-6
"""Largest excess of a change over its budget."""


@dataclass(frozen=True)
class Smallest:
    """The smallest budgets at which a detector's images are won at 5 % false positives.

    Attributes:
        budgets: Budgets of those that the attack of minimal norm wins, ascending.
        bounds: The same, by the shortest change of an image among that attack and the suite's.
        forward_passes: Mean per image, of the attack of minimal norm.
        backward_passes: Mean per image, of the attack of minimal norm.
    """

    detector: str
    phase: str
    seed: int | None
    attack: str
    norm: str
    n_right: int
    budgets: list[float]
    bounds: list[float]
    forward_passes: float
    backward_passes: float


def within(lengths: Sequence[float], count: int, epsilon: float) -> Interval | None:
    """Return the share of `count` images won within a budget, with its interval; None of no images.

    Args:
        lengths: The smallest budgets of the images that are won.
        count: Number of images right before the attack.
        epsilon: The budget.
    """
    if count == 0:
        return None
    return clopper_pearson(sum(length <= epsilon + ROUNDING for length in lengths) / count, count)


def smallest_tables(smallest: Rows, curves: Rows) -> list[Table]:
    """Return a table of the images won within the budgets of the walks; none without records."""
    if not smallest:
        return []
    places = sorted({point["at"] for point in curves if point["across"] == "epsilon"})
    norm, attack = NORMS[smallest[0]["norm"]], smallest[0]["attack"]
    return [
        Table(
            title="SR@5 by epsilon, from the smallest budget of each image",
            header=["detector", "retraining", "n", "attack", "median budget", *(f"{place:g}" for place in places),
                    "forward passes", "backward passes"],
            rows=[line for row in smallest for line in _lines(row, curves, places)],
            note=f"{norm} budgets. {attack} looks for the shortest change that wins an image, so that one run gives "
            "the curve at every epsilon. The walk is the one that won most, run at each epsilon on the images that "
            "neither the suite nor a smaller epsilon has won within it; those count. Bound: an image "
            f"counts if {attack} or an attack of the suite wins it within epsilon; where the walk's share is higher, "
            "that share. The interval is Clopper and Pearson's over the n images. Median budget: over the n images, "
            "empty if fewer than half are won. Passes are for an image, mean.",
        )
    ]  # fmt: skip


def _lines(row: Any, curves: Rows, places: Sequence[float]) -> list[list[Any]]:
    of_walk = {
        point["at"]: point["sr_at_5"]
        for point in curves
        if point["across"] == "epsilon" and (point["detector"], point["phase"]) == (row["detector"], row["phase"])
    }
    before, count = [row["detector"], row["phase"], row["n_right"]], row["n_right"]
    shares = [within(row["budgets"], count, place) for place in places]
    bounds = [_higher(within(row["bounds"], count, place), of_walk.get(place), count) for place in places]
    passes = [row["forward_passes"], row["backward_passes"]]
    return [
        [*before, row["attack"], _median(row["budgets"], count), *(end and end.value for end in shares), *passes],
        [*before, "suite and walk", None, *(of_walk.get(place) for place in places), None, None],
        [*before, "bound", _median(row["bounds"], count), *(end and str(end) for end in bounds), None, None],
    ]


def _higher(bound: Interval | None, walk: float | None, count: int) -> Interval | None:
    """Return the higher one of a bound and the share that a walk wins."""
    return bound if bound is None or walk is None or walk <= bound.value else clopper_pearson(walk, count)


def _median(lengths: Sequence[float], count: int) -> float | None:
    """Return the median budget over `count` images; None if fewer than half of them are won."""
    everyone = [*lengths, *[float("inf")] * (count - len(lengths))]
    middle = median(everyone) if everyone else float("inf")
    return None if middle == float("inf") else middle
