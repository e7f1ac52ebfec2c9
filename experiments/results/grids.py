"""Grids of images, as PNG, and which images to show."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from experiments.results.charts import WARNING, png

_TITLE, _LEFT, _GAP, _CAPTION, _LINE = 0.35, 0.42, 0.05, 0.24, 0.15
"""In inches: height of the title, room left of the cells, between them, under them, and of a line of text."""

_LETTERS: Final = 14
"""Letters to an inch."""


@dataclass(frozen=True)
class GridCell:
    """An image of a grid, with its caption.

    Attributes:
        image: (3, H, W) or (1, H, W), within low and high; None: the caption alone.
        caption: Under the image, or in place of it.
        low: Value shown in the first colour of a one-channel image.
        high: Value shown in the last.
        colours: Colour map of a one-channel image.
        warns: Whether the caption is about something wrong.
    """

    image: Tensor | None
    caption: str = ""
    low: float = 0.0
    high: float = 1.0
    colours: str = "gray"
    warns: bool = False


def chosen(labels: Tensor, before: Tensor, fooled: Tensor, count: int) -> Tensor:
    """Return rows (n,) of images to show: the first that are right and can be fooled, of different classes.

    Where there are not enough: further ones of the same classes, then right ones that no attack fools, then any.

    Args:
        labels: (M,), the true classes.
        before: (M,), the predicted ones.
        fooled: (M,) bool, whether an attack succeeds.
        count: How many are wanted.
    """
    seen: dict[tuple[int, int], int] = {}
    ranked = []
    right = labels == before
    tiers = 2 - right.int() - (right & fooled).int()
    for row, (label, tier) in enumerate(zip(labels.tolist(), tiers.tolist(), strict=True)):
        seen[tier, label] = seen.get((tier, label), 0) + 1
        ranked.append((tier, seen[tier, label], row))
    return torch.tensor([row for _, _, row in sorted(ranked)[:count]])


def difference(change: Tensor, caption: str, most: float | None = None) -> GridCell:
    """Return a signed difference on a symmetric scale: one channel in red and blue, three channels around grey.

    Args:
        change: (1 or 3, H, W).
        caption: Under it.
        most: The absolute value at the ends of the scale; None or 0: the largest there is, and 1 where there is none.
    """
    most = most or change.abs().max().item() or 1.0
    if len(change) == 1:
        return GridCell(change, caption, low=-most, high=most, colours="RdBu_r")
    return GridCell(0.5 + change / (2 * most), caption)


def grid(
    title: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[GridCell]]],
    note: str = "",
    size: float = 1.3,
) -> bytes:
    """Return a grid of images. All lie in one axes: hundreds of axes would be slow.

    Args:
        title: Title of the grid.
        columns: The titles of the columns.
        rows: The text left of each row, and its cells, one for each column.
        note: Under all.
        size: Side of a cell in inches.
    """
    width = _LEFT + (size + _GAP) * len(columns)
    titles = [textwrap.wrap(name, int(_LETTERS * size), break_long_words=False) for name in columns]
    notes = textwrap.wrap(note, int(_LETTERS * width))
    top = _TITLE + _LINE * max(len(lines) for lines in titles)
    step = size + _CAPTION
    height = top + step * len(rows) + _LINE * (len(notes) + 1)
    figure = Figure(figsize=(width, height))
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    axis.text(width / 2, _TITLE / 2, title, fontsize=11, ha="center", va="center")
    for x, lines in enumerate(titles):
        axis.text(_LEFT + x * (size + _GAP) + size / 2, top - _GAP, "\n".join(lines), fontsize=8, ha="center")
    for y, (name, cells) in enumerate(rows):
        above = top + y * step
        axis.text(_LEFT / 2, above + size / 2, name, fontsize=8, ha="center", va="center", rotation=90)
        for x, cell in enumerate(cells):
            _draw(axis, cell, _LEFT + x * (size + _GAP), above, size)
    axis.text(width / 2, height - _LINE / 2, "\n".join(notes), fontsize=7.5, ha="center")
    axis.set_xlim(0, width)
    axis.set_ylim(height, 0)
    axis.set_aspect("auto")
    return png(figure)


def _draw(axis: Axes, cell: GridCell, left: float, above: float, size: float) -> None:
    """Draw a cell in a square, as large as its longer side allows."""
    middle = above + size / 2
    if cell.image is None:
        axis.text(left, middle, cell.caption, fontsize=6.5, family="monospace", va="center")
        return
    pixels = cell.image.permute(1, 2, 0).float().numpy()
    high, wide = (size * side / max(pixels.shape[:2]) for side in pixels.shape[:2])
    centre, low = left + size / 2, middle + high / 2
    extent = (centre - wide / 2, centre + wide / 2, low, low - high)
    if pixels.shape[2] == 1:
        seen = pixels[:, :, 0]
        axis.imshow(seen, cmap=cell.colours, vmin=cell.low, vmax=cell.high, interpolation="nearest", extent=extent)
    else:
        axis.imshow(pixels.clip(0, 1), interpolation="nearest", extent=extent)
    axis.add_patch(Rectangle((extent[0], low - high), wide, high, fill=False, linewidth=0.6, edgecolor="black"))
    colour = WARNING if cell.warns else "black"
    axis.text(centre, low + _GAP, cell.caption, fontsize=7, color=colour, ha="center", va="top")
