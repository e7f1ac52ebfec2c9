"""Curves, histograms and dots of `evaluate.py enhance`, as PNG."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from experiments.explanation.enhance import names
from experiments.explanation.enhance.records import ClassPairs, EnhanceRecords
from experiments.results.charts import (
    COLOURS,
    GUIDE,
    MARKERS,
    band,
    canvas,
    gridlines,
    legend_right,
    lines_of,
    marks,
    png,
    style,
)

_BINS: Final = 20

_TICKS: Final = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1)

_EVERY_MARKER: Final = (*MARKERS, "<", ">", "p", "*", "h", "d", "x", "+", "1", "2", "3", "4")

_DASHES: Final = ("-", "-.", (0, (5, 1)), ":")


def curves(records: EnhanceRecords) -> bytes:
    """Return accuracy against the share of pixels perturbed: a chart for each fill and version, a line for each map."""
    every, words = records.maps.values(), names.FILLS[records.fill]
    other = names.FILLS[names.OTHER_FILL[records.fill]]
    charts = {
        f"adversarial images, pixels to {words}": {record.name: record.recovered for record in every},
        f"adversarial images, pixels to {other}": {record.name: record.refilled for record in every},
        f"clean images, pixels to {words}": {record.name: record.clean for record in every},
    }
    title = "Accuracy against the share of pixels perturbed in a map's order"
    figure, axes = canvas(title, (2.2 + 4.6 * len(charts), 5.0), 1, len(charts), sharey=True)
    looks = looks_of(list(records.maps), [record.name for record in every if record.oracle])
    for axis, (about, lines) in zip(axes[0], charts.items(), strict=True):
        _square_root(axis, records.shares)
        for name, look in looks.items():
            values = [accuracy.value for accuracy in lines[name].accuracy]
            axis.plot(records.shares, values, label=name.replace("_", " "), **look)
        band(axis, records.shares, lines[names.ENHANCED].accuracy, "k")
        axis.set_title(about, fontsize="medium")
        axis.set_xlabel("pixels perturbed")
        gridlines(axis)
    axes[0, 0].set_ylabel("accuracy, true class")
    axes[0, 0].set_ylim(-0.02, 1.02)
    legend_right(figure, axes[0, 0])
    note = (
        f"{records.images} images fooled by {records.attack}; band: 95 % bootstrap interval; dashed: oracles, which "
        "know the true class or the perturbation; grey: other methods; square-root axis"
    )
    figure.supxlabel(note, fontsize="small")
    return png(figure)


def looks_of(maps: Sequence[str], oracles: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the style of each map's line, emphasised ones first; no two share both colour and marker."""
    looks: dict[str, dict[str, Any]] = {
        names.ENHANCED: {"color": "k", "marker": "o", "linewidth": 2.4, "markersize": 5, "zorder": 5}
    }
    for number, name in enumerate([names.PLAIN, names.GRADIENT, names.RANDOM, *oracles]):
        dashes, order = ("--", 6) if name in oracles else ("-", 4)  # an oracle may lie on the map under study
        looks[name] = {**style(number), "linestyle": dashes, "linewidth": 1.7, "markersize": 5, "zorder": order}
    for number, name in enumerate(name for name in maps if name not in looks):
        grey, marker = divmod(number, len(_EVERY_MARKER))
        look = {"color": f"{0.6 / (grey + 1):.3f}", "marker": _EVERY_MARKER[marker]}
        looks[name] = {**look, "linestyle": _DASHES[number % len(_DASHES)], "linewidth": 0.9, "markersize": 4}
    return looks


def _square_root(axis: Axes, shares: Sequence[float]) -> None:
    """Spread small shares: a hundredth is a tenth of the way to 1."""
    axis.set_xscale("function", functions=(lambda x: np.sign(x) * np.sqrt(np.abs(x)), lambda x: np.sign(x) * x**2))
    axis.set_xticks([share for share in _TICKS if shares[0] <= share <= shares[-1]])
    axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def histograms(pairs: ClassPairs) -> bytes:
    """Return histograms of how far two maps differ: a row for each method, a chart for each measure."""
    methods, measures = (names.PLAIN, names.GRADIENT), (names.RATIO, names.DIFFERENCE)
    title = f"Maps of two classes, and of two images; {pairs.images} images: {pairs.source}"
    size = (1.5 + 4.4 * len(measures), 1.4 + 2.7 * len(methods))
    figure, axes = canvas(title, size, len(methods), len(measures), sharex=True, sharey=True)
    for line, method in zip(axes, methods, strict=True):
        line[0].set_ylabel(f"{method.replace('_', ' ')}: share of pairs")
        for axis, measure in zip(line, measures, strict=True):
            samples = (names.SAME, names.OTHER, names.NATURAL)
            _histogram(axis, {name: pairs.compared[method, name].values[measure] for name in samples})
            axis.set_title(measure, fontsize="medium")
    axes[0, 0].set_xlim(0, 1)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
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


def dots(records: EnhanceRecords) -> bytes:
    """Return the correlations of each map with the clean image's, as dots with intervals, the enhanced map first."""
    ranked = sorted(records.ranked, key=lambda record: record.name != names.ENHANCED)
    samples = {"attack": "attacked", "clean image, adversarial class": "swapped", "noise of the same norms": "noisy"}
    figure, axes = canvas(f"How alike maps stay under {records.attack}", (7.5, 1.6 + 0.34 * len(ranked)))
    axis = axes[0, 0]
    for number, (label, field) in enumerate(samples.items()):
        shift = 0.12 * (2 * number - len(samples) + 1)
        every = {place + shift: getattr(record, field) for place, record in enumerate(ranked)}
        statistics = {place: statistic for place, statistic in every.items() if statistic is not None}
        marks(axis, statistics, **style(number), markersize=6, label=label)
    lines_of(axis, [record.name.replace("_", " ") for record in ranked])
    axis.axvline(0, color=GUIDE, linewidth=0.8)
    axis.set_xlabel("Spearman correlation with the clean image's map")
    gridlines(axis, "x")
    figure.legend(loc="outside lower center", ncols=len(samples), fontsize="small")
    return png(figure)
