"""JSMA's search for the best pair of values, without examining all pairs."""

import torch
from torch import Tensor

_SEED = 16
_BLOCK = 64


def best_pair(target: Tensor, others: Tensor, free: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the pair of values that maximises :math:`(t_p + t_q)(o_p + o_q)`, both sums being positive.

    The search is exact for any number m of values, and takes O(m) memory. It uses three facts, which hold in floating
    point as well. First, a pair with value p scores at most :math:`U_p = (t_p + \max t)(o_p + \max o)`, so that values
    whose bound is below the score of some pair can be dropped. Second, the score grows in both sums, so that a value
    can be dropped if two others are at least as high in t and o. Third, few values remain. Their number is known only
    after each of these steps, so that the host waits for the device.

    Args:
        target: (N, m), the gain of the target by a change of each value.
        others: (N, m), the loss of the other classes by it.
        free: (N, m) bool, which values may be taken.

    Returns:
        (N, 2) indices in ascending order, and (N,) bool, whether there is such a pair; without one the indices are
            undefined. Among pairs of equal sums it is the first in reading order.
    """
    target, others, reach, lowest = _bounded(target, others, free)
    kept = _indices((reach >= lowest) & (reach > 0))
    if kept.shape[1] > _BLOCK:
        places = _indices(_front(_take(target, kept), _take(others, kept)))
        kept = _take(kept, places, fill=target.shape[1]).long()
    return _among(target, others, kept)


def likely_pair(target: Tensor, others: Tensor, free: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the result of `best_pair`, up to ties by rounding, without waiting for the device.

    All sizes are fixed. If `best_pair` would keep more than 64 values in the end (never observed on images), the result
    is unknown.

    Returns:
        The two tensors of `best_pair`, and (N,) bool, whether they are known; otherwise they are undefined.
    """
    target, others, reach, lowest = _bounded(target, others, free)
    size = target.shape[1]
    reach = reach.masked_fill((reach < lowest) | ~_front(target, others), 0)
    reaches, kept = reach.topk(min(_BLOCK + 1, size), 1)
    kept = kept.masked_fill(reaches == 0, size)[:, :_BLOCK].sort(1).values
    return *_among(target, others, kept), (reaches[:, _BLOCK:] == 0).all(1)


def _bounded(target: Tensor, others: Tensor, free: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return bounds on the scores of pairs.

    Returns:
        Gain and loss (N, m), minus infinity where a pixel is not free; the upper bound (N, m) on the scores of pairs
        with each pixel; the score (N, 1) of one pair, a lower bound on the best.
    """
    target = torch.where(free, target, -torch.inf)
    others = torch.where(free, others, -torch.inf)
    reach = _product(target + target.amax(1, keepdim=True), others + others.amax(1, keepdim=True))
    seeds = reach.topk(min(_SEED, reach.shape[1]), 1).indices
    lowest, _ = _search(target.gather(1, seeds), others.gather(1, seeds))
    return target, others, reach, lowest[:, None]


def _among(target: Tensor, others: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Return the best pair (N, 2) of values at ascending indices (N, k) filled up with m, and whether there is one."""
    score, pair = _search(_take(target, kept), _take(others, kept))
    return _take(kept, pair, fill=0).long().clamp(max=target.shape[1] - 1), score > 0


def _product(first: Tensor, second: Tensor) -> Tensor:
    """Return the product where both factors are positive, 0 elsewhere."""
    return torch.where((first > 0) & (second > 0), first * second, 0)


def _indices(mask: Tensor) -> Tensor:
    """Return each row's true columns in ascending order, (N, k); filled up with the number of columns."""
    rows, columns = mask.nonzero(as_tuple=True)
    counts = mask.sum(1)
    indices = torch.full((len(mask), int(counts.max())), mask.shape[1], device=mask.device)
    starts = counts.cumsum(0) - counts
    indices[rows, torch.arange(len(rows), device=mask.device) - starts[rows]] = columns
    return indices


def _take(values: Tensor, indices: Tensor, fill: float = -torch.inf) -> Tensor:
    """Return the values at the indices, and `fill` beyond the last column."""
    beyond = values.new_full((len(values), 1), fill)
    return torch.cat([values, beyond], 1).gather(1, indices)


def _front(target: Tensor, others: Tensor) -> Tensor:
    """Mark the values that at most one other value equals or exceeds in both gain and loss, (N, m) bool."""
    order = target.sort(dim=1, descending=True, stable=True).indices
    ranked = others.gather(1, order)
    highest = ranked.cummax(1).values
    lowest = torch.full_like(ranked[:, :1], -torch.inf)
    before = torch.cat([lowest, highest[:, :-1]], 1)
    second = torch.minimum(ranked, before).cummax(1).values  # of each prefix, the second highest
    second = torch.cat([lowest, second[:, :-1]], 1)
    return torch.zeros_like(ranked, dtype=torch.bool).scatter(1, order, ranked > second)


def _search(target: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return the best score (N,) and its pair (N, 2), by looking at all pairs in blocks; 0 where there is none."""
    count, size = target.shape
    best = target.new_zeros(count)
    pair = torch.zeros(count, 2, dtype=torch.long, device=target.device)
    columns = torch.arange(size, device=target.device)
    for start in range(0, size, _BLOCK):
        rows = columns[start : start + _BLOCK]
        scores = _product(
            target[:, start : start + _BLOCK, None] + target[:, None, :],
            others[:, start : start + _BLOCK, None] + others[:, None, :],
        )
        scores = torch.where(rows[:, None] < columns, scores, 0).flatten(1)
        highest, places = scores.max(1)
        better = highest > best
        best = torch.where(better, highest, best)
        candidate = torch.stack([rows[places // size], places % size], 1)
        pair = torch.where(better[:, None], candidate, pair)
    return best, pair
