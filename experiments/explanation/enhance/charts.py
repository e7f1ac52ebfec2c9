"""Curves, histograms and dots of `evaluate.py enhance`, as PNG."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.explanation.enhance import names
from experiments.explanation.enhance.records import ClassPairs, EnhanceRecords
from experiments.results.bootstrap import Statistic
from experiments.results.charts import COLOURS, MARKERS, png

_BINS: Final = 20

_TICKS: Final = (0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1)

_EVERY_MARKER: Final = (*MARKERS, "<", ">", "p", "*", "h", "d", "x", "+", "1", "2", "3", "4")

_DASHES: Final = ("-", "-.", (0, (5, 1)), ":")


def curves(records: EnhanceRecords) -> bytes:
    """Return accuracy against the share of pixels perturbed: a panel for each fill and version, a line for each map."""
    every, words = records.maps.values(), names.FILLS[records.fill]
    panels = {
        f"adversarial images, pixels to {words}": {record.name: record.recovered for record in every},
        f"adversarial images, pixels to {names.FILLS[names.OTHER_FILL[records.fill]]}": {
            record.name: record.refilled for record in every
        },
        f"clean images, pixels to {words}": {record.name: record.clean for record in every},
    }
    figure = Figure(figsize=(2.2 + 4.6 * len(panels), 5.0), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True)
    styles = styles_of(list(records.maps), [record.name for record in every if record.oracle])
    for axis, (title, lines) in zip(axes, panels.items(), strict=True):
        _square_root(axis, records.shares)
        for name, style in styles.items():
            values = [accuracy.value for accuracy in lines[name].accuracy]
            axis.plot(records.shares, values, label=name.replace("_", " "), **style)
        ends = [accuracy.interval for accuracy in lines[names.ENHANCED].accuracy]
        low, high = [end.low for end in ends], [end.high for end in ends]
        axis.fill_between(records.shares, low, high, color="k", alpha=0.12, linewidth=0)
        axis.set_title(title, fontsize="medium")
        axis.set_xlabel("pixels perturbed")
        axis.grid(color="0.92")
    axes[0].set_ylabel("accuracy, true class")
    axes[0].set_ylim(-0.02, 1.02)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize="small")
    figure.suptitle("Accuracy against the share of pixels perturbed in a map's order")
    note = (
        f"{records.images} images fooled by {records.attack}; band: 95 % bootstrap interval; dashed: oracles, which "
        "know the true class or the perturbation; grey: other methods; square-root axis"
    )
    figure.supxlabel(note, fontsize="small")
    return png(figure)


def styles_of(maps: Sequence[str], oracles: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return how each map's line is drawn, those that stand out first; no two have one colour and marker."""
    styles: dict[str, dict[str, Any]] = {
        names.ENHANCED: {"color": "k", "marker": "o", "linewidth": 2.4, "markersize": 5, "zorder": 5}
    }
    for number, name in enumerate([names.PLAIN, names.GRADIENT, names.RANDOM, *oracles]):
        look = {"color": COLOURS[number % len(COLOURS)], "marker": _EVERY_MARKER[number % len(_EVERY_MARKER)]}
        styles[name] = {**look, "linestyle": "--" if name in oracles else "-", "linewidth": 1.7, "markersize": 5}
        styles[name]["zorder"] = 6 if name in oracles else 4  # one of them may lie on the map under study
    for number, name in enumerate(name for name in maps if name not in styles):
        grey, marker = divmod(number, len(_EVERY_MARKER))
        look = {"color": f"{0.6 / (grey + 1):.3f}", "marker": _EVERY_MARKER[marker]}
        styles[name] = {**look, "linestyle": _DASHES[number % len(_DASHES)], "linewidth": 0.9, "markersize": 4}
    return styles


def _square_root(axis: Axes, shares: Sequence[float]) -> None:
    """Spread small shares: a hundredth is a tenth of the way to 1."""
    axis.set_xscale("function", functions=(lambda x: np.sign(x) * np.sqrt(np.abs(x)), lambda x: np.sign(x) * x**2))
    axis.set_xticks([share for share in _TICKS if shares[0] <= share <= shares[-1]])
    axis.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def histograms(pairs: ClassPairs) -> bytes:
    """Return histograms of how far two maps differ: a row for each method, a panel for each measure."""
    methods, measures = (names.PLAIN, names.GRADIENT), (names.RATIO, names.DIFFERENCE)
    figure = Figure(figsize=(1.5 + 4.4 * len(measures), 1.4 + 2.7 * len(methods)), layout="constrained")
    axes = figure.subplots(len(methods), len(measures), sharex=True, sharey=True)
    for line, method in zip(axes, methods, strict=True):
        line[0].set_ylabel(f"{method.replace('_', ' ')}: share of pairs")
        for axis, measure in zip(line, measures, strict=True):
            samples = (names.SAME, names.OTHER, names.NATURAL)
            _histogram(axis, {name: pairs.compared[method, name].values[measure].tolist() for name in samples})
            axis.set_title(measure, fontsize="medium")
    axes[0, 0].set_xlim(0, 1)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    figure.suptitle(f"Maps of two classes, and of two images; {pairs.images} images: {pairs.source}")
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
    figure = Figure(figsize=(7.5, 1.6 + 0.34 * len(ranked)), layout="constrained")
    axis = figure.subplots()
    samples = {"attack": "attacked", "clean image, adversarial class": "swapped", "noise of the same norms": "noisy"}
    for number, (label, field) in enumerate(samples.items()):
        colour, marker = COLOURS[number], MARKERS[number]
        axis.plot([], [], marker, color=colour, label=label)
        for place, record in enumerate(ranked):
            statistic: Statistic | None = getattr(record, field)
            if statistic is not None:
                ends, level = statistic.interval, place + 0.12 * (2 * number - len(samples) + 1)
                axis.plot([ends.low, ends.high], [level, level], color=colour, linewidth=2)
                axis.plot([ends.value], [level], marker, color=colour, markersize=6)
    axis.set_yticks(range(len(ranked)), [record.name.replace("_", " ") for record in ranked])
    axis.invert_yaxis()
    axis.axvline(0, color="0.7", linewidth=0.8)
    axis.set_xlabel("Spearman correlation with the clean image's map")
    axis.grid(axis="x", color="0.92")
    figure.legend(loc="outside lower center", ncols=len(samples), fontsize="small")
    figure.suptitle(f"How alike maps stay under {records.attack}")
    return png(figure)
