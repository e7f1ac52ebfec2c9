"""Figures of the protocols, as PNG."""

import io
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

_LIGHT_TEXT_BELOW = 0.65
"""Cells darker than this value of the colour scale get light text."""


def heat_maps(title: str, tables: Mapping[str, Mapping[str, Mapping[str, Any]]], low: float = 0.5) -> bytes:
    """Return a PNG with one heat map per detector, rows trained on, columns tested on.

    Args:
        title: Over the whole figure.
        tables: {detector: {trained on: {tested on: value in [0, 1] or None}}}; None is drawn as an empty cell.
        low: The value at the lower end of the colours; what lies below is drawn as this.
    """
    widths = [max(len(next(iter(table.values()))), 2) for table in tables.values()]
    figure = Figure(figsize=(1.5 + 1.1 * sum(widths), 1.6 + 0.55 * max(len(table) for table in tables.values())))
    axes = figure.subplots(1, len(tables), squeeze=False, width_ratios=widths)[0]
    colours = mpl.colormaps["viridis"]
    for axis, (name, table) in zip(axes, tables.items(), strict=True):
        columns = list(next(iter(table.values())))
        values = [[float("nan") if row[c] is None else row[c] for c in columns] for row in table.values()]
        picture = axis.imshow(values, vmin=low, vmax=1, cmap=colours, aspect="auto")
        axis.set_title(name)
        axis.set_xticks(range(len(columns)), columns, rotation=30, ha="right")
        axis.set_yticks(range(len(table)), ["" if label == "-" else label for label in table])
        for y, row in enumerate(values):
            for x, value in enumerate(row):
                text = "-" if value != value else f"{value:.2f}"  # noqa: PLR0124 - NaN
                position = (value - low) / (1 - low)
                axis.text(x, y, text, ha="center", va="center", color="w" if position < _LIGHT_TEXT_BELOW else "k")
    axes[0].set_ylabel("trained on")
    figure.supxlabel("tested on", fontsize="medium")
    figure.suptitle(title)
    figure.colorbar(picture, ax=list(axes), fraction=0.02, pad=0.01)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130, bbox_inches="tight", metadata={"Software": None})
    return buffer.getvalue()
