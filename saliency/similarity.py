"""How alike two saliency maps are: rank correlation, structural similarity, likeness of their edges, contrast.

Everything takes pairs of maps of one shape (N, 1, H, W), of any scale, with or without sign, and gives (N,) in float64;
other shapes are a ValueError. NaN means that a similarity is not defined: one of the two maps is constant.
"""

import math
from collections.abc import Callable
from typing import Final, Literal, cast

import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.image import structural_similarity_index_measure

from attacks.errors import InputError

ORIENTATIONS: Final = 9
"""Bins of the directions of a map's edges."""

DataRange = float | Literal["pair"]

_BATCH: Final = 64
_CELLS: Final = 14
"""Cells along a side: the 16 pixels of a cell at 224."""

_SMALLEST_CELL: Final = 4
"""Smallest side of a cell, in pixels, at which a picture can show a direction."""

_SMALLEST_SIDE: Final = 6
"""Pixels that the window of the structural similarity, 11 wide, needs around its middle."""

_CLIPPED, _TINY = 0.2, 1e-5  # of Dalal & Triggs' normalisation (L2-Hys), as in scikit-image


def constant(maps: Tensor) -> Tensor:
    """Return (N,) bool: whether all values of a map (N, ...) are the same."""
    low, high = maps.flatten(1).aminmax(dim=1)
    return low == high


def ranks(maps: Tensor) -> Tensor:
    """Return the ranks (N, H * W) of the values of each map, ties averaged, by SciPy."""
    return torch.from_numpy(stats.rankdata(maps.flatten(1).cpu().numpy(), axis=1))


def pearson(first: Tensor, second: Tensor) -> Tensor:
    """Return the Pearson correlations of paired rows (N, ...), by SciPy."""
    _check(first, second)
    correlations = torch.full((len(first),), torch.nan, dtype=torch.float64)
    defined = _defined(first, second).cpu()
    if defined.any():
        one, two = (maps.flatten(1).cpu()[defined].double().numpy() for maps in (first, second))
        correlations[defined] = torch.from_numpy(stats.pearsonr(one, two, axis=1).statistic)
    return correlations


def _defined(first: Tensor, second: Tensor) -> Tensor:
    """Return for which pairs neither map is constant, (N,) bool."""
    return ~(constant(first) | constant(second)) if len(first) else torch.empty(0, dtype=torch.bool)


def spearman(first: Tensor, second: Tensor) -> Tensor:
    """Return Spearman's rank correlations, ties averaged."""
    return pearson(ranks(first), ranks(second))


def ssim(first: Tensor, second: Tensor, data_range: DataRange = "pair") -> Tensor:
    """Return the mean structural similarities.

    The window is torchmetrics' Gaussian, 11 wide. With scikit-image's (7 wide, uniform) the mean over maps differs by
    about .01, on maps of mere noise by .04.

    Args:
        first: The maps.
        second: Those that they are compared with.
        data_range: What counts as a large difference: pair is the range of the values of the two maps together; a
            number above 0 holds for all, for example 2 for maps in [-1, 1], which lets small values look the same.

    Reference: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", 2004.
    """
    _check(first, second)
    if not (data_range == "pair" or (not isinstance(data_range, str) and data_range > 0)):
        msg = f"data_range must be pair or a number above 0, got {data_range!r}"
        raise InputError(msg)
    defined = _defined(first, second)
    scale = _range(first, second) if data_range == "pair" else torch.full((len(first), 1, 1, 1), data_range)
    scale = torch.where(defined[:, None, None, None], scale, 1).to(first)
    return windowed(first / scale, second / scale, 1.0).masked_fill(~defined, torch.nan).cpu()


def windowed(first: Tensor, second: Tensor, data_range: float) -> Tensor:
    """Return the mean structural similarities, of constant maps too, for one range of the values of all maps."""
    if len(first) == 0:
        return torch.empty(0, dtype=torch.float64)
    if min(first.shape[2:]) < _SMALLEST_SIDE:
        size = " x ".join(str(side) for side in first.shape[2:])
        msg = f"structural similarity needs maps of at least {_SMALLEST_SIDE} pixels a side, got {size}: enlarge them"
        raise InputError(msg)

    def of(one: Tensor, two: Tensor) -> Tensor:
        values = structural_similarity_index_measure(one.float(), two.float(), reduction="none", data_range=data_range)
        return cast(Tensor, values).view(-1).double()  # with other arguments it gives more

    return _in_batches(of, first, second)


def hog(maps: Tensor, what: Literal["picture", "features"] = "picture") -> Tensor:
    """Return the histograms of oriented gradients of maps (N, 1, H, W), in float64.

    They are scikit-image's `hog` (9 orientations, blocks of one cell) to rounding, for all maps at once: that one takes
    milliseconds a map. Cells have 16 pixels a side at 224, as many less as the maps are smaller, and at least 4.

    Args:
        maps: Scaled by their largest absolute value first, so that a normalisation meant for images fits.
        what: picture: the lines that show each cell's directions, (N, 1, H', W'), by their gradients' magnitude;
            features: the histograms, normalised in each cell, (N, 9, cells, cells). Liu et al. compare pictures.

    Reference: Dalal & Triggs, "Histograms of Oriented Gradients for Human Detection", 2005.
    """
    cell = max(_SMALLEST_CELL, round(min(maps.shape[2:]) / _CELLS))
    if min(maps.shape[2:]) < cell:
        msg = f"histograms of gradients need maps of at least {cell} pixels a side, got {tuple(maps.shape)}"
        raise InputError(msg)
    histograms = _in_batches(lambda part: _histograms(part, cell), maps)
    if what == "features":
        return _block(_block(histograms).clamp_max(_CLIPPED))
    return functional.conv_transpose2d(histograms, _lines(cell), stride=cell)


def similarity_ratio(first: Tensor, second: Tensor, *, signed: bool = True) -> Tensor:
    """Return the share of values (N,), in [0, 1], that are equal in two binarised maps (Sim-Ratio).

    It compares which inputs the two maps let through, whatever their values.

    Args:
        first: (N, C, H, W), attributions with sign.
        second: (N, C, H, W), of another class or image.
        signed: Whether a value counts as passed where it is above 0, as in the paper's filtering effect; else where it
            is not 0. Few gradients are exactly 0, so that the latter is near 1 for any two images.

    Reference: Gu & Tresp, "Saliency Methods for Explaining Adversarial Attacks", arXiv 1908.08413, section 2.1.
    """
    _check(first, second, images=True)
    passed = [maps > 0 if signed else maps != 0 for maps in (first, second)]
    return (passed[0] == passed[1]).flatten(1).double().mean(1)


def average_difference(first: Tensor, second: Tensor) -> Tensor:
    r"""Return :math:`|a_1 - a_2| / \max(a_1, a_2)`, (N,) in [0, 1], of the maps' averages (Avg-Diff).

    The averages are of absolute values of attributions (N, C, H, W) that are not normalised; 0 for two maps of zeros.

    Reference: Gu & Tresp, arXiv 1908.08413, section 2.1.
    """
    _check(first, second, images=True)
    one, two = (maps.double().abs().flatten(1).mean(1) for maps in (first, second))
    larger = one.maximum(two)
    return (one - two).abs() / larger.where(larger > 0, 1)


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
    from skimage.draw import line  # noqa: PLC0415

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


def _in_batches(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Return a function's outputs for corresponding parts of tensors, joined; in float64 all would not fit."""
    if len(tensors[0]) <= _BATCH:
        return function(*tensors)
    parts = zip(*(torch.split(tensor, _BATCH) for tensor in tensors), strict=True)
    return torch.cat([function(*part) for part in parts])


def _check(first: Tensor, second: Tensor, *, images: bool = False) -> None:
    unfit = images and (first.ndim != 4 or first[:1].numel() == 0 < len(first))  # noqa: PLR2004 - N, C, H, W
    if first.shape != second.shape or unfit:
        kind = " (N, C, H, W)" if images else ""
        msg = f"maps must come in pairs of one shape{kind}, got {tuple(first.shape)} and {tuple(second.shape)}"
        raise InputError(msg)
