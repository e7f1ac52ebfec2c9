"""How well a map recovers the region that was attacked: its top pixels against the ground truth.

An explanation is a pixel order, and a number of pixels: the first so many are the explanation. All that is measured
follows from how many of them lie in the region, so that masks are only made to be looked at.

Shapes: M images of P pixels; an order (M, P) holds all positions of an image, the most relevant first; a region (M, P)
is bool. Generators are on the CPU, one for each image, so that it does not depend on its neighbours.
"""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def descending(values: Tensor, generators: Sequence[Generator]) -> Tensor:
    """Return the order of falling values (M, P); ties, as among zeros, come in random order."""
    drawn = [torch.randperm(values.shape[1], generator=generator) for generator in generators]
    shuffled = torch.stack(drawn) if drawn else torch.empty(0, values.shape[1], dtype=torch.long)
    order = values.cpu().gather(1, shuffled).argsort(dim=1, descending=True, stable=True)
    return shuffled.gather(1, order)


def pooled(maps: Tensor, superpixels: Tensor) -> Tensor:
    """Return maps (M, H, W) in which each superpixel has the mean of its values.

    Args:
        maps: (M, 1, H, W) or (M, H, W).
        superpixels: (M, H, W), numbered from 0 on in each image.
    """
    where, values = superpixels.flatten(1), maps.flatten(1)
    sums = values.new_zeros(len(values), int(where.max()) + 1)
    counts = sums.clone().scatter_add_(1, where, torch.ones_like(values)).clamp_min(1)
    means = sums.scatter_add_(1, where, values) / counts
    return means.gather(1, where).view(superpixels.shape)


def superpixel_ranks(superpixels: Tensor, weights: Tensor, generators: Sequence[Generator]) -> tuple[Tensor, Tensor]:
    """Return the rank of each pixel's superpixel among those of positive weight, and how many these are.

    Args:
        superpixels: (M, H, W), numbered from 0 on in each image.
        weights: (M, 1, H, W), of each pixel's superpixel.
        generators: Break ties.

    Returns:
        (M, H, W), 1 for the best superpixel, and 0 for all whose weight is not above 0; and (M,).
    """
    ranks, counts = [], []
    for where, weight, generator in zip(superpixels, weights, generators, strict=True):
        by_superpixel = weight.new_zeros(int(where.max()) + 1).scatter_(0, where.flatten(), weight.flatten())
        order = descending(by_superpixel[None], [generator])[0]
        positive = int((by_superpixel > 0).sum())
        rank = torch.zeros_like(order)
        rank[order[:positive]] = torch.arange(1, positive + 1)
        ranks.append(rank[where])
        counts.append(positive)
    return torch.stack(ranks), torch.tensor(counts)


def union_sizes(ranks: Tensor, count: int) -> Tensor:
    """Return how many pixels the unions of the 1 ... `count` best superpixels have, (M, count).

    `ranks` (M, H, W) are those of `superpixel_ranks`; where fewer superpixels are ranked, a union stays as it is.
    """
    flat = ranks.flatten(1)
    return torch.stack([((flat > 0) & (flat <= number)).sum(1) for number in range(1, count + 1)], dim=1)


def hits(order: Tensor, region: Tensor, sizes: Tensor) -> Tensor:
    """Return how many of the first `sizes` (M, n) pixels of an order lie in the region, (M, n)."""
    inside = torch.nn.functional.pad(region.gather(1, order).long().cumsum(1), (1, 0))
    return inside.gather(1, sizes)


def jaccard(both: Tensor, sizes: Tensor, areas: Tensor) -> Tensor:
    """Return |P & C| / |P | C|, in float64, of numbers of pixels of an explanation P and a region C.

    Args:
        both: Pixels that P and C share.
        sizes: |P|, of a shape that goes with it.
        areas: |C|, at least 1.
    """
    return both.double() / (sizes + areas - both)


def likeness(both: Tensor, sizes: Tensor, areas: Tensor, pixels: int) -> Tensor:
    """Return 1 - Hamming(P, C) / N, in float64, of an image of N pixels; see `jaccard`."""
    return 1 - (sizes + areas - 2 * both).double() / pixels


def auroc(order: Tensor, region: Tensor) -> Tensor:
    """Return the share of pairs of a pixel inside and one outside of the region in which the former comes first, (M,).

    No region may be empty or everything.
    """
    inside = region.gather(1, order)
    areas = inside.sum(1)
    before = (inside * torch.arange(order.shape[1])).sum(1) - areas * (areas - 1) // 2
    return 1 - before.double() / (areas * (order.shape[1] - areas))
