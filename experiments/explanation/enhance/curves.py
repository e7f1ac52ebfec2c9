"""The accuracy that perturbing more and more pixels brings back, with bootstrap replicates."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from experiments.results.bootstrap import Resampling, Statistic


@dataclass(frozen=True)
class Recovery:
    """The accuracy on images of which more and more pixels are perturbed.

    Attributes:
        shares: Of the pixels, ascending.
        accuracy: At each share.
        best: The highest of these; in each resample that of the resample.
        best_share: Where the data themselves have it; the smallest of equals; None: no accuracy is above 0.
        area: The mean over all shares between the first and the last, by the trapezoidal rule.
    """

    shares: Sequence[float]
    accuracy: Sequence[Statistic]
    best: Statistic
    best_share: float | None
    area: Statistic


def recovery_of(right: Tensor, shares: Sequence[float], resampling: Resampling) -> Recovery:
    """Return the statistics of a curve.

    Args:
        right: (n, S) bool, whether each image is classified right at each share.
        shares: S, ascending.
        resampling: Of the n images.
    """
    values, count = right.double().mean(0), len(right)
    replicates = torch.stack([resampling.mean(column) for column in right.T], 1)
    places = torch.tensor(shares, dtype=torch.float64)
    span = shares[-1] - shares[0]
    areas = torch.trapezoid(torch.cat([values[None], replicates]), places) / span
    best = int(values.argmax())
    return Recovery(
        shares=shares,
        accuracy=[Statistic(values[at].item(), replicates[:, at], count) for at in range(len(shares))],
        best=Statistic(values[best].item(), replicates.amax(1), count),
        best_share=shares[best] if values[best] > 0 else None,
        area=Statistic(areas[0].item(), areas[1:], count),
    )
