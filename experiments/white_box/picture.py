"""The figure of the white-box protocol: what every attack reaches, and what steps and budget change."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from experiments.results.charts import COLOURS, MARKERS, png
from experiments.white_box.rows import WORST, mean_of, of
from experiments.white_box.subjects import BEFORE
from experiments.white_box.tables import named

SUCCESS: Final = "SR@5: misclassified and accepted at 5 % FPR"


def story(title: str, rows: Sequence[Mapping[str, Any]], curves: Sequence[Mapping[str, Any]]) -> bytes:
    """Return a PNG: left every attack on every detector with the worst case, right SR@5 against steps and epsilon.

    Args:
        title: Over the whole figure.
        rows: Of the protocol.
        curves: Records of `curve_rows`; may be empty.
    """
    lines = list(dict.fromkeys((row["detector"], row["phase"]) for row in rows))
    names = list(dict.fromkeys(row["attack"] for row in rows if row["attack"] != WORST))
    height = 2.2 + 0.52 * max(len(lines), 7)
    figure = Figure(figsize=(15 if curves else 8.5, height), layout="constrained")
    if not curves:
        _attacks(figure.subplots(), rows, lines, names)
    else:
        left, *right = figure.subplots(1, 3, width_ratios=[1.35, 1, 1])
        _attacks(left, rows, lines, names)
        for axis, across in zip(right, ("steps", "epsilon"), strict=True):
            _curves(axis, [each for each in curves if each["across"] == across], across)
        figure.legend(*right[0].get_legend_handles_labels(), loc="outside right center", fontsize="small")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize="small")
    figure.suptitle(title)
    return png(figure)


def _attacks(
    axis: Axes, rows: Sequence[Mapping[str, Any]], lines: Sequence[tuple[str, str]], names: Sequence[str]
) -> None:
    for place, (detector, phase) in enumerate(lines):
        worst = mean_of(of(rows, detector, phase, WORST), "sr_at_5") or 0.0
        colour = "#f2c14e" if phase == BEFORE else "#8fb8de"
        axis.barh(place, worst, color=colour, height=0.72, label=f"worst case, {phase} retraining")
        axis.annotate(f"{worst:.2f}", (worst, place), (5, 0), textcoords="offset points", va="center", fontsize="small")
        for number, name in enumerate(names):
            value = mean_of(of(rows, detector, phase, name), "sr_at_5")
            if value is not None:
                marker, colour = MARKERS[number % len(MARKERS)], COLOURS[number % len(COLOURS)]
                axis.plot([value], [place], marker, color=colour, markersize=5, label=name, alpha=0.9, clip_on=False)
    axis.set_yticks(range(len(lines)), [named(*line) for line in lines])
    axis.set_ylim(max(len(lines), 4) - 0.5, -0.5)
    axis.set_xlim(0, 1.08)
    axis.set_xlabel(SUCCESS)
    handles, labels = axis.get_legend_handles_labels()
    seen: set[str] = set()
    for handle, label in zip(handles, labels, strict=True):
        if label in seen:
            handle.set_label("_")
        seen.add(label)


def _curves(axis: Axes, records: Sequence[Mapping[str, Any]], across: str) -> None:
    whose = list(dict.fromkeys((each["detector"], each["phase"]) for each in records))
    detectors = list(dict.fromkeys(name for name, _ in whose))
    for name, phase in whose:
        points = [
            (each["at"], each["sr_at_5"]) for each in records if (each["detector"], each["phase"]) == (name, phase)
        ]
        number = detectors.index(name)
        colour = COLOURS[number % len(COLOURS)] if number < len(COLOURS) else "0.3"
        label = named(name, phase)
        style = "-" if phase == BEFORE else "--"
        marker = MARKERS[number % len(MARKERS)]
        axis.plot(*zip(*points, strict=True), style, marker=marker, markersize=4, color=colour, label=label)
    if across == "steps":
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xticks(sorted({each["at"] for each in records}))
    axis.set_ylim(-0.03, 1.03)
    axis.set_xlabel({"steps": "steps of the attack", "epsilon": "epsilon (L-inf budget)"}[across])
    axis.set_ylabel("SR@5")
    axis.grid(color="0.92")
