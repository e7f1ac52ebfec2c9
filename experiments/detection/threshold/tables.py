"""Tables, chart and finding of the threshold study, from its records."""

import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from experiments.detection.tables import capital, rate_of
from experiments.detection.threshold.crossings import FEWEST_PAIRS, FRAGILE, ROBUST, UNSURE, claim, crossing_metrics
from experiments.detection.threshold.records import SUBSETS, Curves, Points, ThresholdRow, curves_of, values_of
from experiments.results.charts import Curve, CurveChart, curves
from experiments.results.levels import DETECTED, SEEDS
from experiments.results.records import Rows, mean_known, spread
from experiments.results.result import Table
from experiments.results.text import SMALL
from experiments.results.verdicts import Verdict, counted
from experiments.study.metrics import shown_in


def tables_of(rows: Sequence[ThresholdRow], crossings: Rows, meta: Mapping[str, Any]) -> list[Table]:
    """Return all tables; the first says where detection fails."""
    seeds = len(meta["seeds"])
    several = "and standard deviation " if seeds > 1 else ""
    means = f"Mean {several}over {counted(seeds, 'seeds')}; {meta['knowledge']}. {SMALL}"
    lines = curves_of(rows)
    epsilons = [f"{epsilon:g}" for epsilon in next(iter(lines.values()))]
    return [
        _crossings(crossings),
        *(
            Table(
                f"{metric.title}, by epsilon, {subset} pairs",
                ["attack", "detector", *epsilons],
                [*_margin(lines, subset), *_lines(lines, metric.key, subset)],
                f"{capital(metric.meaning)}. {means}",
            )
            for metric in shown_in("threshold")
            for subset in metric.tables["threshold"][1]
        ),
        _attacks(lines, epsilons),
    ]


def _crossings(crossings: Rows) -> Table:
    columns = [(metric, subset) for metric in crossing_metrics() for subset in SUBSETS]
    lines: dict[tuple[str, str, str | None], dict[tuple[str, str], str]] = {}
    for row in crossings:
        length = "" if row["median_l2"] is None else f" (L2 {row['median_l2']:.2f})"
        unsure = ", not decided" if row["reason"] == UNSURE else ""
        cells = lines.setdefault((row["attack"], row["detector"], row["trained_on"]), {})
        cells[row["measure"], row["subset"]] = f"{row['told']}{length}{unsure}"
    return Table(
        title=f"Epsilon (and median L2) below which detection falls under {DETECTED}",
        header=["attack", "detector", *(f"{metric.name}, {subset} pairs" for metric, subset in columns)],
        rows=[[*line[:2], *(cells.get((m.key, subset)) for m, subset in columns)] for line, cells in lines.items()],
        note="From the epsilon at which the mean over seeds is highest, towards smaller ones; linear interpolation "
        f"between neighbours. Epsilon 0, where every detector is at .5, and points of fewer than {FEWEST_PAIRS} pairs "
        "are left out: `none down to` names the smallest that remains. "
        "never reached: under the level at every epsilon. Not decided: the 95 % interval of an AUROC holds "
        f"{DETECTED}, so that it is not known whether the detector fails.",
    )


def _margin(lines: Curves, subset: str) -> list[list[Any]]:
    """Return for each attack how often it succeeds at each epsilon, and how many pairs a value rests on."""
    first: dict[str, Points] = {}
    for (attack, _, _, of), points in lines.items():
        if of == subset:
            first.setdefault(attack, points)
    titles = {"attack_success_rate": "attack success rate", "n": "pairs"}
    return [
        [attack, title, *(_of_attack(records[0], name) for records in points.values())]
        for attack, points in first.items()
        for name, title in titles.items()
    ]


def _of_attack(row: ThresholdRow, name: str) -> Any:
    """Return a number of a row; the success rate with its interval."""
    rate = name == "attack_success_rate"
    return rate_of(row.attack_success_rate, row.right_before) if rate else row.value(name)


def _lines(lines: Curves, name: str, subset: str) -> list[list[Any]]:
    """Return a line for each curve on which the metric is known somewhere."""
    cells = [
        [line[0], line[1], *(spread(values_of(records, name)) for records in points.values())]
        for line, points in lines.items()
        if line[3] == subset
    ]
    return [line for line in cells if any(value is not None for value in line[2:])]


def _attacks(lines: Curves, epsilons: Sequence[str]) -> Table:
    first: dict[tuple[str, str], Points] = {}
    for (attack, _, _, subset), points in lines.items():
        first.setdefault((attack, subset), points)
    columns = {
        "n": "pairs",
        "attack_success_rate": "success rate",
        "median_l2": "median L2",
        "median_rms": "median RMS",
    }
    return Table(
        title="The attacks at each epsilon",
        header=["attack", "pairs", *epsilons],
        rows=[
            [attack, f"{subset}: {title}", *(_of_attack(records[0], name) for records in points.values())]
            for (attack, subset), points in first.items()
            for name, title in columns.items()
            if subset == "all" or name != "attack_success_rate"
        ],
        note="Success rate: of the images that the classifier gets right, those that the attack turns wrong, "
        "with its 95 % interval. Step sizes grow in proportion to epsilon.",
    )


def chart(
    rows: Sequence[ThresholdRow], epsilons: Mapping[str, float], norms: Collection[str], meta: Mapping[str, Any]
) -> bytes:
    """Return AUROC against epsilon as a PNG, in a panel for each subset of the pairs and each attack.

    Args:
        rows: The rows of the study.
        epsilons: The budget in training, by attack; marked in its panel.
        norms: The norms of the attacks, for the axis.
        meta: The protocol's meta data; the title names its data.
    """
    lines = curves_of(rows)
    panels = {
        f"AUROC, {subset} pairs": [
            _panel(
                f"trained and tested on {name}",
                {line: points for line, points in lines.items() if (line[0], line[3]) == (name, subset)},
                epsilon,
            )
            for name, epsilon in epsilons.items()
        ]
        for subset in SUBSETS
    }
    axis = f"epsilon ({' or '.join(sorted(norms))} budget, images in [0, 1])"
    title = f"Detection against the size of the perturbation, {meta['data']} (points of at least {FEWEST_PAIRS} pairs)"
    return curves(title, panels, axis, "attack success rate", DETECTED)


def _panel(title: str, lines: Curves, mark: float) -> CurveChart:
    first = {size: records for size, records in next(iter(lines.values())).items() if size > 0}
    behind = Curve(list(first), [mean_known(values_of(records, "attack_success_rate")) for records in first.values()])
    return CurveChart(
        title, {line[1]: _curve(points, dashed=line[2] is None) for line, points in lines.items()}, behind, mark
    )


def _curve(points: Points, *, dashed: bool) -> Curve:
    sizes = [size for size, records in points.items() if size > 0 and records[0].n >= FEWEST_PAIRS]
    values = [values_of(points[size], "auroc") for size in sizes]
    spreads = [statistics.stdev(seeds) if len(seeds) > 1 else None for seeds in values]
    several = any(half is not None for half in spreads)
    return Curve(sizes, [mean_known(seeds) for seeds in values], spreads if several else None, dashed)


def finding(crossings: Rows, meta: Mapping[str, Any]) -> str:
    """Return whether the paper's claim holds on each attack and subset of the pairs, as far as that is decided."""
    few = len(meta["seeds"]) < SEEDS
    parts = [
        f"The paper claims that the AUROC of {' and '.join(FRAGILE)} falls under {DETECTED} below some epsilon, and "
        f"that of {' and '.join(ROBUST)} does not."
    ]
    for attack in dict.fromkeys(row["attack"] for row in crossings):
        for subset in SUBSETS:
            rows = [row for row in crossings if (row["attack"], row["subset"]) == (attack, subset)]
            by_detector = {row["detector"]: row for row in rows if row["measure"] == "auroc"}
            verdict, reason = claim(by_detector, meta["smallest"])
            said = (_OF_FEW_SEEDS if few else _OF_SEEDS)[verdict]
            parts.append(f"On {subset} pairs of {attack} {said}{reason and f' ({reason})'}.")
    ending = "A claim needs three seeds of training." if few else "The first table says where each detector falls."
    return " ".join([*parts, ending])


_OF_SEEDS: Final[Mapping[Verdict, str]] = {
    "holds": "the claim holds",
    "does not hold": "the claim does not hold",
    "not decided": "the claim is not decided",
}
_OF_FEW_SEEDS: Final[Mapping[Verdict, str]] = {
    **_OF_SEEDS,
    "holds": "the numbers of so few seeds agree with the claim",
    "does not hold": "the numbers of so few seeds speak against the claim",
}
