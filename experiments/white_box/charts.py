"""The charts of the white-box protocol: success of every attack, and against steps and budget."""

from collections.abc import Mapping
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from experiments.results.bootstrap import clopper_pearson
from experiments.results.charts import COLOURS, GUIDE, canvas, gridlines, legend_below, png, style
from experiments.white_box.records import BEFORE, NORMS, WORST, Rows, detectors_of, mean_of, of
from experiments.white_box.smallest import within
from experiments.white_box.tables import named

SUCCESS: Final = "SR@5: the attacker's success at 5 % FPR"


def story(title: str, rows: Rows, curves: Rows) -> bytes:
    """Return a PNG: left every attack on every detector with the worst case, right SR@5 against steps and epsilon."""
    height = 2.2 + 0.52 * max(len(detectors_of(rows)), 7)
    figure = Figure(figsize=(15 if curves else 8.5, height), layout="constrained")
    if not curves:
        _attacks(figure.subplots(), rows)
    else:
        left, *right = figure.subplots(1, 3, width_ratios=[1.35, 1, 1])
        _attacks(left, rows)
        for axis, across in zip(right, ("steps", "epsilon"), strict=True):
            _curves(axis, [point for point in curves if point["across"] == across], across)
        figure.legend(*right[0].get_legend_handles_labels(), loc="outside right center", fontsize="small")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    entries = dict(zip(reversed(labels), reversed(handles), strict=True))  # the first of each label
    names = list(dict.fromkeys(labels))
    figure.legend([entries[name] for name in names], names, loc="outside lower center", ncols=5, fontsize="small")
    figure.suptitle(title)
    return png(figure)


def budgets(title: str, smallest: Rows, curves: Rows, epsilon: float) -> bytes:
    """Return a PNG: the share of images won within each budget, before and, where they were, after retraining.

    Args:
        title: Title of the figure.
        smallest: Records of `smallest_rows`, at least one.
        curves: Records of `curve_rows`, drawn as markers.
        epsilon: The suite's budget, which is marked.
    """
    phases = list(dict.fromkeys(row["phase"] for row in smallest))
    names = list(dict.fromkeys(row["detector"] for row in smallest))
    tails = [row["bounds"][int(_SHOWN * len(row["bounds"]))] for row in smallest if row["bounds"]]
    most = 1.1 * max([2 * epsilon, *tails])
    figure, axes = canvas(title, (2.6 + 5.2 * len(phases), 5.4), 1, len(phases), sharey=True)
    for axis, phase in zip(axes[0], phases, strict=True):
        for row in (row for row in smallest if row["phase"] == phase):
            points = [point for point in curves if (point["detector"], point["phase"]) == (row["detector"], phase)]
            _budgets(axis, row, points, most, style(names.index(row["detector"])))
        axis.axvline(epsilon, color=GUIDE, linewidth=0.8, linestyle=":")
        axis.annotate("the suite's budget", (epsilon, 0.01), (4, 0), textcoords="offset points", fontsize="small")
        axis.set_xlim(0, most)
        axis.set_xlabel(f"epsilon ({NORMS[smallest[0]['norm']]} budget)")
        count = min(row["n_right"] for row in smallest if row["phase"] == phase)
        width = f", 95 % interval at most ± {_half_width(count):.2f}" if count else ""
        axis.set_title(f"{phase} retraining, n = {count}{width}", fontsize="medium")
        gridlines(axis)
    axes[0, 0].set_ylim(-0.03, 1.03)
    axes[0, 0].set_ylabel("SR@5: share of the n images won within epsilon")
    lines = {label: line for axis in axes[0] for line, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    legend_below(figure, list(lines.values()), _BUDGETS, 3 * len(phases))
    return png(figure)


_SHOWN: Final = 0.95
"""The horizontal axis covers the budgets of this share of the images."""

_BUDGETS: Final = (
    "Lines: the bound, each image at its shortest change by JointFMN or the suite.\n"
    "Markers: the suite within this epsilon, and the walk that won most, run anew at it."
)


def _half_width(count: int) -> float:
    """Return half the width of the interval of a share of one half, the widest."""
    ends = clopper_pearson(0.5, count)
    return (ends.high - ends.low) / 2


def _budgets(axis: Axes, row: Mapping[str, Any], points: Rows, most: float, look: dict[str, Any]) -> None:
    places = [0.0, *row["bounds"], most]
    ends = [end for place in places if (end := within(row["bounds"], row["n_right"], place))]
    if not ends:
        return
    axis.step(places, [end.value for end in ends], where="post", color=look["color"], linewidth=1.6)
    axis.plot([], [], **look, label=row["detector"])
    walk = [(point["at"], point["sr_at_5"]) for point in points if point["across"] == "epsilon"]
    walk = [(at, value) for at, value in walk if at <= most]
    axis.plot([at for at, _ in walk], [value for _, value in walk], **look | {"linestyle": "", "markersize": 6})


def _attacks(axis: Axes, rows: Rows) -> None:
    lines = detectors_of(rows)
    attacks = list(dict.fromkeys(row["attack"] for row in rows if row["attack"] != WORST))
    for place, (detector, phase) in enumerate(lines):
        worst = mean_of(of(rows, detector, phase, WORST), "sr_at_5") or 0.0
        colour = COLOURS[1] if phase == BEFORE else COLOURS[4]
        axis.barh(place, worst, color=colour, alpha=0.5, height=0.72, label=f"worst case, {phase} retraining")
        axis.annotate(f"{worst:.2f}", (worst, place), (5, 0), textcoords="offset points", va="center", fontsize="small")
        for number, name in enumerate(attacks):
            value = mean_of(of(rows, detector, phase, name), "sr_at_5")
            if value is not None:
                look = style(number) | {"linestyle": "", "markersize": 5, "alpha": 0.9}
                axis.plot([value], [place], label=name, clip_on=False, **look)
    axis.set_yticks(range(len(lines)), [named(*line) for line in lines])
    axis.set_ylim(max(len(lines), 4) - 0.5, -0.5)
    axis.set_xlim(0, 1.08)
    axis.set_xlabel(SUCCESS)


def _curves(axis: Axes, curves: Rows, across: str) -> None:
    detectors = list(dict.fromkeys(point["detector"] for point in curves))
    for name, phase in detectors_of(curves):
        points = [
            (point["at"], point["sr_at_5"]) for point in curves if (point["detector"], point["phase"]) == (name, phase)
        ]
        look = style(detectors.index(name)) | {"linestyle": "-" if phase == BEFORE else "--", "markersize": 4}
        axis.plot(*zip(*points, strict=True), label=named(name, phase), **look)
    if across == "steps":
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xticks(sorted({point["at"] for point in curves}))
    axis.set_ylim(-0.03, 1.03)
    axis.set_xlabel({"steps": "steps of the attack", "epsilon": "epsilon (budget)"}[across])
    axis.set_ylabel("SR@5")
    gridlines(axis)
