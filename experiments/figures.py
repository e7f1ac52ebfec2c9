"""Figures of the protocols, as PNG."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from experiments.plots import COLOURS, png

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
