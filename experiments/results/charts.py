"""Box plots, curves, bars and heat maps, as PNG."""

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from experiments.results.bootstrap import Interval

COLOURS: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
"""Told apart by the colour-blind (Okabe & Ito)."""

MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")


@dataclass(frozen=True)
class Curve:
    """A line of a figure.

    Attributes:
        places: On the horizontal axis, above 0.
        values: There, in [0, 1]; None: there is none.
        spread: Half the width of the band at each place; None: there is no band.
        dashed: Whether the line is dashed.
    """

    places: Sequence[float]
    values: Sequence[float | None]
    spread: Sequence[float | None] | None = None
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """A panel of curves.

    Attributes:
        title: Over it.
        curves: By name; a name has one colour and marker in all panels.
        behind: A curve drawn as a grey area behind the others.
        mark: Place of a vertical line; None: there is none.
    """

    title: str
    curves: Mapping[str, Curve]
    behind: Curve
    mark: float | None


def intervals(title: str, rows: Mapping[str, Sequence[Interval]], names: Sequence[str]) -> bytes:
    """Return a PNG with a line for each entry: the intervals of several sources, below each other, about zero.

    Args:
        title: Over the whole figure.
        rows: {entry: an interval for each source}.
        names: Of the sources.
    """
    figure = Figure(figsize=(9, 1.6 + (0.14 + 0.09 * len(names)) * max(len(rows), 1)), layout="constrained")
    axis = figure.subplots()
    axis.axvline(0, color="0.3", linewidth=0.8)
    axis.grid(axis="x", color="0.9")
    axis.set_axisbelow(True)
    for number, name in enumerate(names):
        found = [each[number] for each in rows.values()]
        heights = [row + 0.6 * ((number + 0.5) / len(names) - 0.5) for row in range(len(rows))]
        colour = COLOURS[number % len(COLOURS)]
        axis.hlines(heights, [each.low for each in found], [each.high for each in found], color=colour)
        axis.plot(
            [each.value for each in found],
            heights,
            MARKERS[number % len(MARKERS)],
            markersize=5,
            color=colour,
            label=name,
        )
    axis.set_yticks(range(len(rows)), list(rows), fontsize="small")
    axis.set_ylim(len(rows) - 0.5, -0.5)
    figure.legend(loc="outside lower center", ncols=len(names))
    figure.suptitle(title)
    return png(figure)


def boxes(title: str, panels: Mapping[str, Mapping[str, Sequence[float] | None]]) -> bytes:
    """Return a PNG with a panel for each measure: a box for each attack, on a log axis.

    Args:
        title: Over the whole figure.
        panels: {name of the axis: {attack: ends of the whisker and of the box, median and mean, in the order 5 %, 25 %,
            50 %, 75 %, 95 %, mean; or None}}, the same attacks in each; values above 0.
    """
    attacks = list(next(iter(panels.values())))
    figure = Figure(figsize=(1.5 + 4.2 * len(panels), 1.5 + 0.45 * len(attacks)), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, (name, values) in zip(axes, panels.items(), strict=True):
        _log(axis)
        axis.grid(axis="x", color="0.9")
        axis.set_axisbelow(True)
        axis.set_xlabel(name)
        for row, found in enumerate(values.values()):
            _box(axis, row, found)
    axes[0].set_yticks(range(len(attacks)), attacks)
    axes[0].set_ylim(len(attacks) - 0.5, -0.5)
    figure.suptitle(title)
    return png(figure)


def _box(axis: Axes, row: int, found: Sequence[float] | None) -> None:
    if found is None:
        axis.text(0.5, row, "none", transform=axis.get_yaxis_transform(), ha="center", va="center", color="0.4")
        return
    low, first, median, third, high, mean = found
    colour = COLOURS[row % len(COLOURS)]
    axis.plot([low, high], [row, row], color=colour, linewidth=1.5, marker="|", markersize=8)
    axis.fill_betweenx([row - 0.3, row + 0.3], first, third, color=colour, linewidth=1, alpha=0.75)
    axis.plot([median, median], [row - 0.3, row + 0.3], color="k", linewidth=1.8)
    axis.plot([mean], [row], marker="D", markersize=4.5, markerfacecolor="w", markeredgecolor="k")


def curves(title: str, rows: Mapping[str, Sequence[Panel]], across: str, behind: str, level: float) -> bytes:
    """Return a PNG with a row of panels for each measure, on a log axis.

    Args:
        title: Over the whole figure.
        rows: {name of the vertical axis: panels}, as many in each row.
        across: Name of the horizontal axes.
        behind: Name of the grey areas.
        level: Height of a dotted line.
    """
    columns = len(next(iter(rows.values())))
    names = list(dict.fromkeys(name for panels in rows.values() for panel in panels for name in panel.curves))
    size = (max(1 + 4.3 * columns, 6.5), 1.2 + 2.9 * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False, sharex=True, sharey=True)
    for line, (name, panels) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(name)
        for axis, panel in zip(line, panels, strict=True):
            _curves(axis, panel, names, behind, level)
    for axis in axes[-1]:
        axis.set_xlabel(across)
    handles: dict[str, Artist] = {}
    for axis in axes.flat:
        found, labels = axis.get_legend_handles_labels()
        handles |= dict(zip(labels, found, strict=True))
    figure.legend(list(handles.values()), list(handles), loc="outside right center", fontsize="small")
    figure.suptitle(title)
    return png(figure)


def _curves(axis: Axes, panel: Panel, names: Sequence[str], behind: str, level: float) -> None:
    shown = list(_known(panel.behind))
    _log(axis)
    axis.set_ylim(0, 1.03)
    axis.fill_between([x for x, _, _ in shown], [y for _, y, _ in shown], color="0.88", label=behind)
    axis.axhline(level, color="0.3", linewidth=0.8, linestyle=":")
    if panel.mark is not None:
        axis.axvline(panel.mark, color="0.3", linewidth=0.8, linestyle="-.", label="trained at")
    for name, curve in panel.curves.items():
        number = names.index(name)
        colour = COLOURS[number % len(COLOURS)] if number < len(COLOURS) else "0.25"
        points = list(_known(curve))
        places, values = [x for x, _, _ in points], [y for _, y, _ in points]
        marker = MARKERS[number % len(MARKERS)]
        style = "--" if curve.dashed else "-"
        axis.plot(places, values, style, marker=marker, markersize=4, linewidth=1.4, color=colour, label=name)
        if curve.spread is not None:
            low, high = [y - s for _, y, s in points], [y + s for _, y, s in points]
            axis.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
    axis.set_title(panel.title, fontsize="medium")


def _known(curve: Curve) -> Iterator[tuple[float, float, float]]:
    """Yield place, value and half the band's width where there is a value."""
    spreads = curve.spread or [0.0] * len(curve.places)
    for place, value, spread in zip(curve.places, curve.values, spreads, strict=True):
        if value is not None:
            yield place, value, spread or 0.0


def bars(title: str, panels: Mapping[str, Mapping[str, tuple[float, float | None, str]]]) -> bytes:
    """Return a PNG with a panel for each measure: a horizontal bar for each entry.

    Args:
        title: Over the whole figure.
        panels: {name of the axis: {entry: value, end of a whisker or None, text beside the bar}}, the same entries in
            each.
    """
    entries = list(next(iter(panels.values())))
    figure = Figure(figsize=(1.5 + 3.7 * len(panels), 1.2 + 0.38 * len(entries)), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
    for axis, (name, values) in zip(axes, panels.items(), strict=True):
        colours = ["0.6", *(COLOURS[row % len(COLOURS)] for row in range(len(entries) - 1))]
        axis.barh(range(len(entries)), [value for value, _, _ in values.values()], color=colours, height=0.7)
        for row, (value, end, text) in enumerate(values.values()):
            if end is not None:
                axis.plot([value, end], [row, row], color="k", linewidth=1)
            axis.annotate(
                text, (max(value, end or 0), row), (4, 0), textcoords="offset points", va="center", fontsize="small"
            )
        axis.margins(x=0.22)
        axis.set_xlim(left=0)
        axis.set_xlabel(name)
    axes[0].set_yticks(range(len(entries)), entries)
    axes[0].invert_yaxis()
    figure.suptitle(title)
    return png(figure)


def _log(axis: Axes) -> None:
    """Make the horizontal axis logarithmic, with plain numbers."""
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())


def png(figure: Figure) -> bytes:
    """Return a figure as PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    for text in figure.findobj(Text):
        text.set_parse_math(False)  # names of classes and attacks may hold dollars
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


_LIGHT_TEXT_BELOW = 0.65
"""Cells darker than this value of the colour scale get light text."""


def heat_maps(title: str, tables: Mapping[str, Mapping[str, Mapping[str, Any]]], low: float = 0.5) -> bytes:
    """Return a PNG with one heat map per detector, rows trained on, columns tested on.

    Args:
        title: Over the whole figure.
        tables: {detector: {trained on: {tested on: value in [0, 1] or None}}}; None is drawn as an empty cell.
        low: The value at the lower end of the colours; what lies below is drawn as this.
    """
    columns = [list(next(iter(table.values()))) for table in tables.values()]
    height = 1.9 + 0.5 * max(len(table) for table in tables.values())
    figure = Figure(figsize=(1.2 + sum(1.3 + 0.7 * len(names) for names in columns), height), layout="constrained")
    axes = figure.subplots(1, len(tables), squeeze=False, width_ratios=[max(len(names), 2) for names in columns])[0]
    for axis, names, (title_of, table) in zip(axes, columns, tables.items(), strict=True):
        picture = _draw(axis, names, table, low)
        axis.set_title(title_of)
    axes[0].set_ylabel("trained on")
    figure.supxlabel("tested on", fontsize="medium")
    figure.suptitle(title)
    figure.colorbar(picture, ax=list(axes), fraction=0.02, pad=0.01)
    return png(figure)


def grouped_bars(title: str, tables: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> bytes:
    """Return a PNG with a panel for each attack trained on: a group of bars for each attack tested on.

    Args:
        title: Over the whole figure.
        tables: As in `heat_maps`; the block `training-free` is left out, unless it is alone.
    """
    trained = {name: table for name, table in tables.items() if name != "training-free"} or dict(tables)
    panels = list(dict.fromkeys(line for table in trained.values() for line in table))
    figure = Figure(figsize=(8, 1 + 1.9 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axis, panel in zip(axes, panels, strict=True):
        shown = {name: table[panel] for name, table in trained.items() if panel in table}
        for place, (name, cells) in enumerate(shown.items()):
            width = 0.8 / len(shown)
            at = [x - 0.4 + width * (place + 0.5) for x in range(len(cells))]
            heights = [float("nan") if value is None else value for value in cells.values()]
            axis.bar(at, heights, width, label=name, color=COLOURS[place % len(COLOURS)])
        axis.set_xticks(range(len(cells)), list(cells))
        axis.set_ylim(0, 1)
        axis.axhline(0.5, color="0.5", linewidth=0.8, linestyle=":")
        axis.set_title(f"trained on {panel}", fontsize="medium")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper")
    axes[len(axes) // 2].set_ylabel("AUROC")
    figure.suptitle(title)
    figure.supxlabel("tested on", fontsize="medium")
    return png(figure)


def _draw(axis: Axes, columns: Sequence[str], table: Mapping[str, Mapping[str, Any]], low: float) -> AxesImage:
    values = [[float("nan") if row[name] is None else row[name] for name in columns] for row in table.values()]
    picture = axis.imshow(values, vmin=low, vmax=1, cmap="viridis", aspect="auto")
    axis.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
    axis.set_yticks(range(len(table)), list(table))
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            colour = "w" if (value - low) / (1 - low) < _LIGHT_TEXT_BELOW else "k"
            axis.text(x, y, "-" if math.isnan(value) else f"{value:.2f}", ha="center", va="center", color=colour)
    return picture
