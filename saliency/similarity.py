"""How alike two saliency maps are: rank correlation, structural similarity, likeness of their edges.

Everything takes maps (N, 1, H, W) of any scale, with or without sign, and gives (N,) in float64. NaN means that a
similarity is not defined: one of the two maps is constant, so that nothing in it can be like anything.
"""

import math
from collections.abc import Callable
from typing import Final, Literal

import torch
from scipy import stats
from skimage.draw import line
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.image import structural_similarity_index_measure

ORIENTATIONS: Final = 9
"""Bins of the directions of a map's edges."""

DataRange = float | Literal["pair"]

_BATCH: Final = 64
_CELLS: Final = 14
"""Cells along a side: the 16 pixels of a cell at 224."""

_SMALLEST_CELL: Final = 4
"""Pixels of a cell from which a picture can show a direction."""

_SMALLEST_SIDE: Final = 6
"""Pixels that the window of the structural similarity, 11 wide, needs around its middle."""

_CLIPPED, _TINY = 0.2, 1e-5  # of Dalal & Triggs' normalisation (L2-Hys), as in scikit-image


def constant(maps: Tensor) -> Tensor:
    """Return (N,) bool: whether all values of a map are the same.

    Args:
        maps: (N, ...).
    """
    low, high = maps.flatten(1).aminmax(dim=1)
    return low == high


def ranks(maps: Tensor) -> Tensor:
    """Return the ranks (N, H * W) of the values of each map, ties averaged, by SciPy.

    Args:
        maps: (N, 1, H, W).
    """
    return torch.from_numpy(stats.rankdata(maps.flatten(1).cpu().numpy(), axis=1))


def pearson(first: Tensor, second: Tensor) -> Tensor:
    """Return the Pearson correlations (N,) of paired rows, in float64, by SciPy; NaN where one is constant.

    Args:
        first: (N, ...).
        second: (N, ...), as many values each.

    Raises:
        ValueError: If the shapes differ.
    """
    _check(first, second)
    found = torch.full((len(first),), torch.nan, dtype=torch.float64)
    known = (~(constant(first) | constant(second))).cpu() if len(first) else torch.empty(0, dtype=torch.bool)
    if known.any():
        one, two = (each.flatten(1).cpu()[known].double().numpy() for each in (first, second))
        found[known] = torch.from_numpy(stats.pearsonr(one, two, axis=1).statistic)
    return found


def spearman(first: Tensor, second: Tensor) -> Tensor:
    """Return Spearman's rank correlations (N,) of maps (N, 1, H, W), ties averaged; NaN where one is constant.

    Raises:
        ValueError: If the shapes differ.
    """
    return pearson(ranks(first), ranks(second))


def ssim(first: Tensor, second: Tensor, data_range: DataRange = "pair") -> Tensor:
    """Return the mean structural similarities (N,) of maps (N, 1, H, W); NaN where one is constant.

    The window is torchmetrics' Gaussian, 11 wide. With scikit-image's (7 wide, uniform) the mean over maps differs by
    about .01, on maps of mere noise by .04.

    Args:
        first: Maps.
        second: Maps of the same shape.
        data_range: What counts as a large difference: pair is the range of the values of the two maps together; a
            number above 0 holds for all, for example 2 for maps taken as values in [-1, 1], which lets maps of small
            values look the same.

    Raises:
        ValueError: If the shapes differ, the maps are too small, or the range is not above 0.

    Reference:
        Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004.
    """
    _check(first, second)
    if not (data_range == "pair" or (not isinstance(data_range, str) and data_range > 0)):
        msg = f"data_range must be pair or a number above 0, got {data_range!r}"
        raise ValueError(msg)
    known = ~(constant(first) | constant(second)) if len(first) else torch.empty(0, dtype=torch.bool)
    scale = _range(first, second) if data_range == "pair" else torch.full((len(first), 1, 1, 1), data_range)
    scale = torch.where(known[:, None, None, None], scale, 1).to(first)
    return windowed(first / scale, second / scale, 1.0).masked_fill(~known, torch.nan).cpu()


def windowed(first: Tensor, second: Tensor, data_range: float) -> Tensor:
    """Return the mean structural similarities (N,), of constant maps too; see `ssim`.

    Args:
        first: (N, 1, H, W).
        second: (N, 1, H, W).
        data_range: Of the values of all maps.

    Raises:
        ValueError: If the maps are too small.
    """
    if len(first) == 0:
        return torch.empty(0, dtype=torch.float64)
    if min(first.shape[2:]) < _SMALLEST_SIDE:
        size = " x ".join(str(side) for side in first.shape[2:])
        msg = f"structural similarity needs maps of at least {_SMALLEST_SIDE} pixels a side, got {size}: enlarge them"
        raise ValueError(msg)

    def of(one: Tensor, two: Tensor) -> Tensor:
        found = structural_similarity_index_measure(one.float(), two.float(), reduction="none", data_range=data_range)
        if not isinstance(found, Tensor):  # with other arguments it gives more
            msg = f"a tensor was expected, not {type(found).__name__}"
            raise TypeError(msg)
        return found.view(-1).double()

    return _in_batches(of, first, second)


def hog(maps: Tensor, what: Literal["picture", "features"] = "picture") -> Tensor:
    """Return the histograms of oriented gradients of maps (N, 1, H, W), in float64.

    They are scikit-image's `hog` (9 orientations, blocks of one cell) to rounding, for all maps at once: that one takes
    milliseconds a map. Cells have 16 pixels a side at 224, as many less as the maps are smaller, and at least 4.

    Args:
        maps: Scaled by their largest absolute value first, so that a normalisation meant for images fits.
        what: picture: the lines that show each cell's directions, (N, 1, H', W'), by their gradients' magnitude;
            features: the histograms, normalised in each cell, (N, 9, cells, cells). Liu et al. compare pictures.

    Raises:
        ValueError: If the maps are smaller than a cell.

    Reference:
        Dalal & Triggs, "Histograms of Oriented Gradients for Human Detection", 2005.
    """
    cell = max(_SMALLEST_CELL, round(min(maps.shape[2:]) / _CELLS))
    if min(maps.shape[2:]) < cell:
        msg = f"histograms of gradients need maps of at least {cell} pixels a side, got {tuple(maps.shape)}"
        raise ValueError(msg)
    histograms = _in_batches(lambda part: _histograms(part, cell), maps)
    if what == "features":
        return _block(_block(histograms).clamp_max(_CLIPPED))
    return functional.conv_transpose2d(histograms, _lines(cell), stride=cell)


def _histograms(maps: Tensor, cell: int) -> Tensor:
    """Return the mean magnitude of each direction in each cell, (N, 9, H // cell, W // cell)."""
    values = maps.double().cpu()
    values = values / values.abs().amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(values.dtype).tiny)
    down, right = torch.zeros_like(values), torch.zeros_like(values)
    down[:, :, 1:-1] = values[:, :, 2:] - values[:, :, :-2]
    right[..., 1:-1] = values[..., 2:] - values[..., :-2]
    angles = torch.atan2(down, right).rad2deg().remainder(180)
    bins = torch.arange(ORIENTATIONS).view(-1, 1, 1)
    width = 180 / ORIENTATIONS
    within = (angles >= width * bins) & (angles < width * (bins + 1))
    return functional.avg_pool2d(torch.hypot(down, right) * within, cell)


def _block(histograms: Tensor) -> Tensor:
    """Return the histograms divided by their length in each cell."""
    return histograms / (histograms.square().sum(1, keepdim=True) + _TINY**2).sqrt()


def _lines(cell: int) -> Tensor:
    """Return a line through a cell for each direction, (9, 1, cell, cell) of 0 and 1."""
    drawn = torch.zeros(ORIENTATIONS, 1, cell, cell, dtype=torch.float64)
    centre, radius = cell // 2, cell // 2 - 1
    for number in range(ORIENTATIONS):
        angle = math.pi * (number + 0.5) / ORIENTATIONS
        across, along = radius * math.sin(angle), radius * math.cos(angle)
        ends = (centre - along, centre + across, centre + along, centre - across)
        rows, columns = line(*(int(end) for end in ends))  # type: ignore[no-untyped-call]
        drawn[number, 0, rows, columns] = 1
    return drawn


def _range(first: Tensor, second: Tensor) -> Tensor:
    """Return the range of the values of each pair, (N, 1, 1, 1)."""
    both = torch.cat([first, second], dim=1)
    return both.amax((1, 2, 3), keepdim=True) - both.amin((1, 2, 3), keepdim=True)


def _in_batches(function: Callable[..., Tensor], *given: Tensor) -> Tensor:
    """Return a function's outputs for corresponding parts of tensors, joined; in float64 all would not fit."""
    if len(given[0]) <= _BATCH:
        return function(*given)
    starts = range(0, len(given[0]), _BATCH)
    return torch.cat([function(*(each[start : start + _BATCH] for each in given)) for start in starts])


def _check(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape:
        msg = f"maps must come in pairs of one shape, got {tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(msg)
