"""Curves, histograms and dots of `evaluate.py enhance`, as PNG."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.bootstrap import Interval
from experiments.enhance.statistics import Recovery
from experiments.plots import COLOURS, MARKERS, png

_BINS: Final = 20


def curves(title: str, panels: Mapping[str, Mapping[str, Recovery]], styles: Mapping[str, str], note: str) -> bytes:
    """Return a PNG of accuracy against the share of pixels perturbed, a panel for each entry.

    Args:
        title: Over all.
        panels: {title: {map: curve}}, the same maps in each.
        styles: own, control or oracle of maps that stand out; the others are thin lines.
        note: Under all.
    """
    figure = Figure(figsize=(2.2 + 4.6 * len(panels), 5.0), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, (name, found) in zip(axes, panels.items(), strict=True):
        for number, (label, each) in enumerate(found.items()):
            _curve(axis, label, each, number, styles.get(label))
        axis.set_title(name, fontsize="medium")
        axis.set_xlabel("pixels perturbed")
        axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axis.grid(color="0.92")
    axes[0].set_ylabel("accuracy, true class")
    axes[0].set_ylim(-0.02, 1.02)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize="small")
    figure.suptitle(title)
    figure.supxlabel(note, fontsize="small")
    return png(figure)


def _curve(axis: Axes, label: str, found: Recovery, number: int, style: str | None) -> None:
    places, values = found.shares, [each.value for each in found.accuracy]
    shown = label.replace("_", " ")
    if style == "own":
        ends = [each.interval for each in found.accuracy]
        axis.fill_between(places, [e.low for e in ends], [e.high for e in ends], color="k", alpha=0.12, linewidth=0)
        axis.plot(places, values, "-", color="k", linewidth=2.4, marker="o", markersize=5, label=shown, zorder=3)
    elif style in ("control", "oracle"):
        line = ":" if style == "control" else "--"
        colour = "0.45" if style == "control" else COLOURS[number % len(COLOURS)]
        axis.plot(places, values, line, color=colour, linewidth=1.8, label=shown, zorder=4)
    else:
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        axis.plot(places, values, "-", color=colour, marker=marker, markersize=4, linewidth=1.1, label=shown)


def histograms(title: str, rows: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]]) -> bytes:
    """Return a PNG of histograms of values in [0, 1], a row for each method and a panel for each measure.

    Args:
        title: Over all.
        rows: {method: {measure: {sample: values}}}, the same measures and samples in each; the first is filled.
    """
    columns = len(next(iter(rows.values())))
    figure = Figure(figsize=(1.5 + 4.4 * columns, 1.4 + 2.7 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    for line, (method, panels) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(f"{method}: share of pairs")
        for axis, (measure, samples) in zip(line, panels.items(), strict=True):
            _histogram(axis, samples)
            axis.set_title(measure, fontsize="medium")
    axes[0, 0].set_xlim(0, 1)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    figure.suptitle(title)
    return png(figure)


def _histogram(axis: Axes, samples: Mapping[str, Sequence[float]]) -> None:
    bins = np.linspace(0, 1, _BINS + 1).tolist()
    for number, (label, values) in enumerate(samples.items()):
        axis.hist(
            list(values),
            bins,
            weights=np.full(len(values), 1 / max(len(values), 1)),
            histtype="step" if number else "stepfilled",
            linewidth=1.8,
            color=COLOURS[number % len(COLOURS)],
            alpha=1 if number else 0.55,
            label=label,
        )


def dots(title: str, rows: Mapping[str, Mapping[str, Interval | None]], across: str) -> bytes:
    """Return a PNG with a line for each entry, and on it a dot with its interval for each sample.

    Args:
        title: Over all.
        rows: {entry: {sample: value}}, the same samples in each; None is left out.
        across: Name of the axis.
    """
    figure = Figure(figsize=(7.5, 1.6 + 0.34 * len(rows)), layout="constrained")
    axis = figure.subplots()
    samples = list(next(iter(rows.values())))
    for place, found in enumerate(rows.values()):
        for number, each in enumerate(found.values()):
            if each is None:
                continue
            colour, level = COLOURS[number % len(COLOURS)], place + 0.12 * (2 * number - len(samples) + 1)
            axis.plot([each.low, each.high], [level, level], color=colour, linewidth=2)
            axis.plot([each.value], [level], MARKERS[number], color=colour, markersize=6)
    for number, name in enumerate(samples):
        axis.plot([], [], MARKERS[number], color=COLOURS[number % len(COLOURS)], label=name)
    axis.set_yticks(range(len(rows)), [name.replace("_", " ") for name in rows])
    axis.invert_yaxis()
    axis.axvline(0, color="0.7", linewidth=0.8)
    axis.set_xlabel(across)
    axis.grid(axis="x", color="0.92")
    figure.legend(loc="outside lower center", ncols=len(samples), fontsize="small")
    figure.suptitle(title)
    return png(figure)
