"""Box plots, curves, bars and heat maps, as PNG; the colours of all charts."""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from numpy.typing import NDArray

from experiments.results.bootstrap import Interval

COLOURS: Final = (
    *("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"),
    *("#000000", "#8c564b", "#7f7f7f", "#999933", "#332288", "#882255"),
)
"""The colour-blind can tell the first six apart (Okabe & Ito)."""

MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")

GUIDE: Final = "0.3"
"""Colour of reference lines."""

CONTROLS: Final = ("0.1", "0.55")
"""Colours of a positive and of a negative control."""

WARNING: Final = "#b00000"
"""Colour of errors and flags."""

_SAMPLES: Final = ("#7a7a7a", "#b8b8b8", *COLOURS)
"""Colours of samples: two greys for those that the others are compared with."""


@dataclass(frozen=True)
class Curve:
    """A line of a chart.

    Attributes:
        places: On the horizontal axis, above 0.
        values: There, in [0, 1]; None: there is none.
        spread: Half the width of the band at each place; None: there is no band.
    """

    places: Sequence[float]
    values: Sequence[float | None]
    spread: Sequence[float | None] | None = None
    dashed: bool = False

    def points(self) -> Iterator[tuple[float, float, float]]:
        """Yield place, value and half the band's width where there is a value."""
        for place, value, spread in zip(self.places, self.values, self.spread or [0.0] * len(self.places), strict=True):
            if value is not None:
                yield place, value, spread or 0.0


@dataclass(frozen=True)
class CurveChart:
    """A chart of curves.

    Attributes:
        curves: The lines by name; a name has one colour and marker in all charts of a page.
        behind: A curve drawn as a grey area behind the others.
        mark: Place of a vertical line; None: there is none.
    """

    title: str
    curves: Mapping[str, Curve]
    behind: Curve
    mark: float | None


def style(number: int) -> dict[str, Any]:
    """Return colour and marker of the number-th entry of a chart."""
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}


def canvas(
    title: str, size: tuple[float, float], rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, NDArray[Any]]:
    """Return an empty page of charts with its title.

    Returns:
        The figure, and its axes (rows, columns).
    """
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def marks(axis: Axes, intervals: Mapping[float, Interval], color: str, **look: Any) -> None:
    """Draw intervals as lines with a marker at the value, by their height in the chart."""
    ends, heights = list(intervals.values()), list(intervals)
    axis.hlines(
        heights, [interval.low for interval in ends], [interval.high for interval in ends], color=color, linewidth=1.5
    )
    axis.plot([interval.value for interval in ends], heights, linestyle="", color=color, **look)


def band(axis: Axes, places: Sequence[float], ends: Sequence[Interval], colour: str) -> None:
    """Draw the intervals of a curve as a pale area."""
    low, high = [interval.low for interval in ends], [interval.high for interval in ends]
    axis.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)


def legend_right(figure: Figure, axis: Axes) -> None:
    """Draw the legend of one chart right of all."""
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right center", fontsize="small")


def legend_below(figure: Figure, handles: Sequence[Artist], note: str, columns: int) -> None:
    """Draw a legend under all charts, with a note as its title."""
    look: dict[str, Any] = {"fontsize": "small", "title_fontsize": "small", "frameon": False}
    figure.legend(handles=list(handles), loc="outside lower center", ncols=columns, title=note, **look)


def gridlines(axis: Axes, along: str = "both") -> None:
    """Draw grey lines behind a chart's content, across one axis or both."""
    axis.grid(axis=along, color="0.9")  # type: ignore[arg-type]
    axis.set_axisbelow(True)


def lines_of(axis: Axes, names: Sequence[str]) -> None:
    """Give each name a line of its own, from the top down."""
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)


def png(figure: Figure) -> bytes:
    """Return a figure as PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # names of classes and attacks may hold dollars
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def intervals(title: str, rows: Mapping[str, Sequence[Interval]], names: Sequence[str]) -> bytes:
    """Return a chart with a line for each entry, on which each source has an interval; zero is marked.

    Args:
        title: Title of the chart.
        rows: {entry: an interval for each source}.
        names: Names of the sources.
    """
    figure, axes = canvas(title, (9, 1.6 + (0.14 + 0.09 * len(names)) * max(len(rows), 1)))
    axis = axes[0, 0]
    axis.axvline(0, color=GUIDE, linewidth=0.8)
    gridlines(axis, "x")
    for number, name in enumerate(names):
        shift = 0.6 * ((number + 0.5) / len(names) - 0.5)
        column = {place + shift: row[number] for place, row in enumerate(rows.values())}
        marks(axis, column, **style(number), markersize=5, label=name)
    lines_of(axis, list(rows))
    axis.tick_params("y", labelsize="small")
    figure.legend(loc="outside lower center", ncols=len(names))
    return png(figure)


def boxes(title: str, charts: Mapping[str, Mapping[str, Sequence[float] | None]]) -> bytes:
    """Return a chart for each measure: a box for each attack, on a log axis.

    Args:
        title: Title of the chart.
        charts: By name of the axis and attack, the same attacks in each: the quantiles at 5, 25, 50, 75 and 95 %, then
            the mean, all above 0; or None.
    """
    attacks = list(next(iter(charts.values())))
    size = (1.5 + 4.2 * len(charts), 1.5 + 0.45 * len(attacks))
    figure, axes = canvas(title, size, 1, len(charts), sharey=True)
    for axis, (name, values) in zip(axes[0], charts.items(), strict=True):
        _log(axis)
        gridlines(axis, "x")
        axis.set_xlabel(name)
        for row, quantiles in enumerate(values.values()):
            _box(axis, row, quantiles)
    lines_of(axes[0, 0], attacks)
    return png(figure)


def _box(axis: Axes, row: int, quantiles: Sequence[float] | None) -> None:
    if quantiles is None:
        axis.text(0.5, row, "none", transform=axis.get_yaxis_transform(), ha="center", va="center", color="0.4")
        return
    low, first, median, third, high, mean = quantiles
    colour = COLOURS[row % len(COLOURS)]
    axis.plot([low, high], [row, row], color=colour, linewidth=1.5, marker="|", markersize=8)
    axis.fill_betweenx([row - 0.3, row + 0.3], first, third, color=colour, linewidth=1, alpha=0.75)
    axis.plot([median, median], [row - 0.3, row + 0.3], color="k", linewidth=1.8)
    axis.plot([mean], [row], marker="D", markersize=4.5, markerfacecolor="w", markeredgecolor="k")


def sample_boxes(title: str, charts: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]], note: str) -> bytes:
    """Return a chart for each measure: quartiles of samples, whiskers from the 5th to the 95th percentile.

    Args:
        title: Title of the chart.
        charts: {label of the values: {group: {sample: values}}}; a sample without values is left out, its place stays.
            A dashed line marks the median of the first sample of the first group.
        note: Under all.
    """
    names = list(dict.fromkeys(name for groups in charts.values() for samples in groups.values() for name in samples))
    colours = {name: _SAMPLES[number % len(_SAMPLES)] for number, name in enumerate(names)}
    width = max(sum(len(samples) + 1 for samples in groups.values()) for groups in charts.values())
    figure, axes = canvas(title, (2.5 + 0.3 * width, 0.9 + 2.7 * len(charts)), len(charts))
    for axis, (label, groups) in zip(axes[:, 0], charts.items(), strict=True):
        _sample_boxes(axis, groups, colours)
        axis.set_ylabel(label)
    legend_below(figure, [Patch(facecolor=colour, label=name) for name, colour in colours.items()], note, 3)
    return png(figure)


def _sample_boxes(axis: Axes, groups: Mapping[str, Mapping[str, Sequence[float]]], colours: Mapping[str, str]) -> None:
    left, ticks = 0.0, []
    thin = {"linewidth": 0.7}
    for number, samples in enumerate(groups.values()):
        ticks.append(left + (len(samples) - 1) / 2)
        for place, (name, values) in enumerate(samples.items()):
            if values:
                axis.boxplot(
                    [list(values)],
                    positions=[left + place],
                    widths=0.8,
                    whis=(5, 95),
                    showfliers=False,
                    patch_artist=True,
                    boxprops={"facecolor": colours[name], **thin},
                    medianprops={"color": "black", "linewidth": 1.4},
                    whiskerprops=thin,
                    capprops=thin,
                )
                if number == place == 0:
                    axis.axhline(float(np.median(values)), color=colours[name], linestyle="--", linewidth=1, zorder=0)
        if not any(samples.values()):
            axis.text(ticks[-1], 0.5, "no pair", ha="center", rotation=90, transform=axis.get_xaxis_transform())
        left += len(samples) + 1
    axis.set_xticks(ticks, list(groups))
    axis.set_xlim(-1, left - 1)
    axis.set_ylim(bottom=0)
    axis.spines[["top", "right"]].set_visible(False)


def curves(title: str, rows: Mapping[str, Sequence[CurveChart]], across: str, behind: str, level: float) -> bytes:
    """Return a row of charts for each measure, on log axes.

    Args:
        title: Title of the chart.
        rows: {name of the vertical axis: charts}, as many in each row.
        across: Name of the horizontal axes.
        behind: Name of the grey areas.
        level: Height of a dotted line.
    """
    columns = len(next(iter(rows.values())))
    names = list(dict.fromkeys(name for charts in rows.values() for chart in charts for name in chart.curves))
    size = (max(1 + 4.3 * columns, 6.5), 1.2 + 2.9 * len(rows))
    figure, axes = canvas(title, size, len(rows), columns, sharex=True, sharey=True)
    for line, (name, charts) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(name)
        for axis, chart in zip(line, charts, strict=True):
            _curves(axis, chart, names, behind, level)
    handles: dict[str, Artist] = {}
    for axis in axes.flat:
        drawn, labels = axis.get_legend_handles_labels()
        handles |= dict(zip(labels, drawn, strict=True))
    for axis in axes[-1]:
        axis.set_xlabel(across)
    figure.legend(list(handles.values()), list(handles), loc="outside right center", fontsize="small")
    return png(figure)


def _curves(axis: Axes, chart: CurveChart, names: Sequence[str], behind: str, level: float) -> None:
    _log(axis)
    axis.set_ylim(0, 1.03)
    area = list(chart.behind.points())
    axis.fill_between([x for x, _, _ in area], [y for _, y, _ in area], color="0.88", label=behind)
    axis.axhline(level, color=GUIDE, linewidth=0.8, linestyle=":")
    if chart.mark is not None:
        axis.axvline(chart.mark, color=GUIDE, linewidth=0.8, linestyle="-.", label="trained at")
    for name, curve in chart.curves.items():
        points, look = list(curve.points()), style(names.index(name))
        places, values = [x for x, _, _ in points], [y for _, y, _ in points]
        dashes = "--" if curve.dashed else "-"
        axis.plot(places, values, linestyle=dashes, markersize=4, linewidth=1.4, label=name, **look)
        if curve.spread is not None:
            low, high = [y - s for _, y, s in points], [y + s for _, y, s in points]
            axis.fill_between(places, low, high, color=look["color"], alpha=0.2, linewidth=0)
    axis.set_title(chart.title, fontsize="medium")


def bars(title: str, charts: Mapping[str, Mapping[str, tuple[float, float | None, str]]]) -> bytes:
    """Return a chart for each measure: a horizontal bar for each entry.

    Args:
        title: Title of the chart.
        charts: {name of the axis: {entry: value, end of a whisker or None, text beside the bar}}, the same entries in
            each.
    """
    entries = list(next(iter(charts.values())))
    colours = ["0.6", *(COLOURS[row % len(COLOURS)] for row in range(len(entries) - 1))]
    figure, axes = canvas(title, (1.5 + 3.7 * len(charts), 1.2 + 0.38 * len(entries)), 1, len(charts), sharey=True)
    for axis, (name, values) in zip(axes[0], charts.items(), strict=True):
        axis.barh(range(len(entries)), [value for value, _, _ in values.values()], color=colours, height=0.7)
        for row, (value, end, text) in enumerate(values.values()):
            if end is not None:
                axis.plot([value, end], [row, row], color="k", linewidth=1)
            beside = {"xytext": (4, 0), "textcoords": "offset points", "va": "center", "fontsize": "small"}
            axis.annotate(text, (max(value, end or 0), row), **beside)
        axis.margins(x=0.22)
        axis.set_xlim(left=0)
        axis.set_xlabel(name)
    axes[0, 0].set_yticks(range(len(entries)), entries)
    axes[0, 0].invert_yaxis()
    return png(figure)


def _log(axis: Axes) -> None:
    """Make the horizontal axis logarithmic, with plain numbers."""
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())


_LIGHT_TEXT_BELOW: Final = 0.65
"""Cells darker than this value of the colour scale get light text."""


def heat_maps(
    title: str,
    tables: Mapping[str, Mapping[str, Mapping[str, Any]]],
    low: float = 0.5,
    down: str = "trained on",
    across: str = "tested on",
) -> bytes:
    """Return heat maps beside each other.

    Args:
        title: Title of the chart.
        tables: {title of a map, as a detector: {row: {column: value in [0, 1] or None}}}; None is drawn as an empty
            cell.
        low: The value at the lower end of the colours; what lies below is drawn as this.
        down: Label of the rows.
        across: Label of the columns.
    """
    columns = [list(next(iter(table.values()))) for table in tables.values()]
    width = 1.2 + sum(1.3 + 0.7 * len(names) for names in columns)
    height = 1.9 + 0.5 * max(len(table) for table in tables.values())
    widths = [max(len(names), 2) for names in columns]
    figure, axes = canvas(title, (width, height), 1, len(tables), width_ratios=widths)
    for axis, names, (detector, table) in zip(axes[0], columns, tables.items(), strict=True):
        image = _heat_map(axis, names, table, low)
        axis.set_title(detector)
    axes[0, 0].set_ylabel(down)
    figure.supxlabel(across, fontsize="medium")
    figure.colorbar(image, ax=list(axes[0]), fraction=0.02, pad=0.01)
    return png(figure)


def _heat_map(axis: Axes, columns: Sequence[str], table: Mapping[str, Mapping[str, Any]], low: float) -> AxesImage:
    values = [[float("nan") if row[name] is None else row[name] for name in columns] for row in table.values()]
    image = axis.imshow(values, vmin=low, vmax=1, cmap="viridis", aspect="auto")
    axis.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
    axis.set_yticks(range(len(table)), list(table))
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            colour = "w" if (value - low) / (1 - low) < _LIGHT_TEXT_BELOW else "k"
            axis.text(x, y, "-" if math.isnan(value) else f"{value:.2f}", ha="center", va="center", color=colour)
    return image


def grouped_bars(title: str, tables: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> bytes:
    """Return a chart for each attack trained on: a group of bars for each attack tested on.

    Args:
        title: Title of the chart.
        tables: Values as for `heat_maps`; the block `training-free` is left out, unless it is alone.
    """
    trained = {name: table for name, table in tables.items() if name != "training-free"} or dict(tables)
    attacks = list(dict.fromkeys(line for table in trained.values() for line in table))
    figure, axes = canvas(title, (8, 1 + 1.9 * len(attacks)), len(attacks))
    for axis, attack in zip(axes[:, 0], attacks, strict=True):
        shown = {name: table[attack] for name, table in trained.items() if attack in table}
        for place, (name, cells) in enumerate(shown.items()):
            width = 0.8 / len(shown)
            at = [x - 0.4 + width * (place + 0.5) for x in range(len(cells))]
            heights = [float("nan") if value is None else value for value in cells.values()]
            axis.bar(at, heights, width, label=name, color=COLOURS[place % len(COLOURS)])
        axis.set_xticks(range(len(cells)), list(cells))
        axis.set_ylim(0, 1)
        axis.axhline(0.5, color="0.5", linewidth=0.8, linestyle=":")
        axis.set_title(f"trained on {attack}", fontsize="medium")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right upper")
    axes[len(attacks) // 2, 0].set_ylabel("AUROC")
    figure.supxlabel("tested on", fontsize="medium")
    return png(figure)
