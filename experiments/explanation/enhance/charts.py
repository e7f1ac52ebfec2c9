"""Curves, histograms and dots of `evaluate.py enhance`, as PNG."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.explanation.enhance.curves import Recovery
from experiments.results.bootstrap import Interval
from experiments.results.charts import COLOURS, MARKERS, png

_BINS: Final = 20

_TICKS: Final = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1)

_EVERY_MARKER: Final = (*MARKERS, "<", ">", "p", "*", "h", "d", "x", "+", "1", "2", "3", "4")

_DASHES: Final = ("-", "-.", (0, (5, 1)), ":")


def curves(
    title: str,
    panels: Mapping[str, Mapping[str, Recovery]],
    own: str,
    beside: Sequence[str],
    oracles: Sequence[str],
    note: str,
) -> bytes:
    """Return a PNG of accuracy against the share of pixels perturbed, a panel for each entry.

    Args:
        title: Over all.
        panels: {title: {map: curve}}, the same maps in each.
        own: The map under study: a thick line with its interval.
        beside: Maps in colour; the others are thin and grey.
        oracles: Maps in colour, dashed.
        note: Under all.
    """
    figure = Figure(figsize=(2.2 + 4.6 * len(panels), 5.0), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    styles = styles_of(list(next(iter(panels.values()))), own, beside, oracles)
    for axis, (name, found) in zip(axes, panels.items(), strict=True):
        _square_root(axis, next(iter(found.values())).shares)
        for label, style in styles.items():
            values = [each.value for each in found[label].accuracy]
            axis.plot(found[label].shares, values, label=label.replace("_", " "), **style)
        ends = [each.interval for each in found[own].accuracy]
        low, high = [each.low for each in ends], [each.high for each in ends]
        axis.fill_between(found[own].shares, low, high, color="k", alpha=0.12, linewidth=0)
        axis.set_title(name, fontsize="medium")
        axis.set_xlabel("pixels perturbed")
        axis.grid(color="0.92")
    axes[0].set_ylabel("accuracy, true class")
    axes[0].set_ylim(-0.02, 1.02)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize="small")
    figure.suptitle(title)
    figure.supxlabel(note, fontsize="small")
    return png(figure)


def styles_of(
    names: Sequence[str], own: str, beside: Sequence[str], oracles: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return how each map's line is drawn, those that stand out first; no two have one colour and marker."""
    styles: dict[str, dict[str, Any]] = {
        own: {"color": "k", "marker": "o", "linewidth": 2.4, "markersize": 5, "zorder": 5}
    }
    for number, name in enumerate([*beside, *oracles]):
        look = {"color": COLOURS[number % len(COLOURS)], "marker": _EVERY_MARKER[number % len(_EVERY_MARKER)]}
        styles[name] = {**look, "linestyle": "--" if name in oracles else "-", "linewidth": 1.7, "markersize": 5}
        styles[name]["zorder"] = 6 if name in oracles else 4  # one of them may lie on the map under study
    for number, name in enumerate(name for name in names if name not in styles):
        grey, marker = divmod(number, len(_EVERY_MARKER))
        look = {"color": f"{0.6 / (grey + 1):.3f}", "marker": _EVERY_MARKER[marker]}
        styles[name] = {**look, "linestyle": _DASHES[number % len(_DASHES)], "linewidth": 0.9, "markersize": 4}
    return styles


def _square_root(axis: Axes, shares: Sequence[float]) -> None:
    """Spread small shares: a hundredth is a tenth of the way to 1."""
    axis.set_xscale("function", functions=(lambda x: np.sign(x) * np.sqrt(np.abs(x)), lambda x: np.sign(x) * x**2))
    axis.set_xticks([share for share in _TICKS if shares[0] <= share <= shares[-1]])
    axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))


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
