"""Square's changes in L2: a window of an image's change takes over the length of another window."""

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from attacks.problem import Problem, drawn

SMALLEST = 3
"""The side of the smallest window, in pixels."""
DRAWS = 5
"""Numbers that a change takes for each image, besides one per channel: two places, and whether it is turned."""
_TILES = 5
"""The number of tiles along the shorter side of the first change."""


class _Windows(NamedTuple):
    """A square window of each image: its rows (N, side, 1) and columns (N, 1, side)."""

    rows: Tensor
    columns: Tensor

    def of(self, values: Tensor) -> Tensor:
        """Return the windows (N, C, side, side) of values (N, C, H, W)."""
        return values.movedim(1, 3)[self._images, self.rows, self.columns].movedim(3, 1)

    def put(self, values: Tensor, windows: Tensor) -> Tensor:
        """Return values (N, C, H, W) with the windows replaced by (N, C, side, side)."""
        changed = values.clone()
        changed.movedim(1, 3)[self._images, self.rows, self.columns] = windows.movedim(1, 3)
        return changed

    @property
    def _images(self) -> Tensor:
        return torch.arange(len(self.rows), device=self.rows.device).view(-1, 1, 1)


def tiled(problem: Problem, generators: list[Generator], epsilon: float) -> Tensor:
    """Return first changes (N, C, H, W) of length epsilon: tiles of the pattern, turned or not, a sign per channel."""
    images = problem.images
    channels, height, width = images.shape[1:]
    side = max(min(height, width) // _TILES, 1)
    down, across = height // side, width // side
    numbers = drawn(generators, channels + 1, down, across, dtype=torch.float64).to(images.device)
    tiles = _turned(side, numbers[:, :1]).to(images) * signs(numbers[:, 1:])[..., None, None].to(images)
    change, top, left = torch.zeros_like(images), height % side // 2, width % side // 2
    whole = tiles.transpose(3, 4).reshape(len(images), channels, down * side, across * side)
    change[:, :, top : top + down * side, left : left + across * side] = whole
    return epsilon * _unit(problem.within_region(change), (1, 2, 3))


def moved(problem: Problem, change: Tensor, epsilon: float, side: int, numbers: Tensor) -> Tensor:
    """Return changes whose first window has taken over the second one's length, and its share of what epsilon leaves.

    Args:
        problem: Whose images are attacked; its region may not hold any of a window, which is then left as it is.
        change: (N, C, H, W), at most epsilon long.
        epsilon: L2 budget.
        side: Side of the windows in pixels, at most that of the images.
        numbers: (N, `DRAWS` + C), uniform in [0, 1).
    """
    height, width = change.shape[2:]
    first, second = (
        _Windows(pixels(places[0], side, height)[:, :, None], pixels(places[1], side, width)[:, None, :])
        for places in (numbers[:, :2].T, numbers[:, 2:4].T)
    )
    inside, nothing = first.of(change), torch.zeros_like(first.of(change))
    turned = _turned(side, numbers[:, 4:DRAWS, None]).squeeze(2).to(change.dtype)
    wanted = signs(numbers[:, DRAWS:, None, None]).to(change.dtype) * turned + _unit(inside, (2, 3))
    if problem.region is not None:
        wanted = wanted * first.of(problem.region)
    emptied = first.put(second.put(change, nothing), nothing)
    before = _squares(change)
    unused = (epsilon**2 - before.sum(1, keepdim=True)).clamp(min=0) / change.shape[1]
    length = ((before - _squares(emptied)).clamp(min=0) + unused).sqrt()
    filled = first.put(emptied, _unit(wanted, (2, 3)) * length)
    return torch.where(_squares(wanted) > 0, filled, change)


def pixels(places: Tensor, side: int, length: int) -> Tensor:
    """Return which of `length` pixels windows cover, (N, side), at places (N,) in [0, 1)."""
    first = (places * (length - side + 1)).long()
    return first[:, None] + torch.arange(side, device=places.device)


def signs(numbers: Tensor) -> Tensor:
    """Return 1 or -1 for numbers uniform in [0, 1)."""
    return torch.where(numbers < 1 / 2, -1.0, 1.0)


def pattern(side: int, device: torch.device | None = None) -> Tensor:
    """Return the pattern (side, side) of length 1: a bump in its upper half, a hollow in its lower one."""
    half = side // 2
    return _unit(torch.cat([_bump(half, side, device), -_bump(side - half, side, device)]), (0, 1))


def _bump(height: int, width: int, device: torch.device | None) -> Tensor:
    r"""Return equation 2 of the paper (height, width), of length 1: the sum of 1 / k^2 from the distance + 1 on.

    The distance is that of a pixel from the middle one, along the axis where it is larger.
    """
    middle = height // 2, width // 2
    rows, columns = (
        torch.arange(size, device=device) - centre for size, centre in zip((height, width), middle, strict=True)
    )
    distance = torch.maximum(rows.abs()[:, None], columns.abs())
    terms = 1 / torch.arange(1, max(middle) + 2, dtype=torch.float64, device=device).square()
    return _unit(terms.flip(0).cumsum(0).flip(0)[distance], (0, 1))


def _turned(side: int, numbers: Tensor) -> Tensor:
    """Return the pattern (..., side, side), or its transpose, for numbers (...) uniform in [0, 1)."""
    made = pattern(side, numbers.device)
    return torch.where(numbers[..., None, None] < 1 / 2, made.T, made)


def _squares(values: Tensor) -> Tensor:
    """Return the squared length of each image's channels, (N, C, 1, 1)."""
    return values.square().sum((2, 3), keepdim=True)


def _unit(values: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return values of length 1 along axes; those of length 0 stay 0."""
    length = values.square().sum(axes, keepdim=True).sqrt()
    return torch.where(length > 0, values / length, 0)
