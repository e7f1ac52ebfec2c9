"""Bootstrap intervals that resample images and seeds (PROTOCOL B12)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from attacks.checks import at_least

LEVEL: Final = 0.95

_ROWS: Final = 64
"""Resamples at a time: so many rows of all images stay in the cache."""


@dataclass(frozen=True)
class Interval:
    """A statistic with the ends of its 95 % percentile interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return it as `.912 [.880, .941]`."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def __neg__(self) -> "Interval":
        """Return the interval of the negative statistic."""
        return Interval(-self.value, -self.high, -self.low)


class Resampling:
    """How often each image is drawn in each resample; one instance serves all detectors, which makes them paired.

    An image is drawn together with its adversarial images.

    Args:
        images: Number of images.
        resamples: How often they are drawn with replacement.
        seed: Of the draws.
        groups: (n,), the image, from 0 to images - 1, that each of n values belongs to, where an image has several
            values: they are drawn together. None: one value for each image.

    Raises:
        ValueError: If resamples is below 1.
    """

    def __init__(self, images: int, resamples: int = 1000, seed: int = 0, groups: Tensor | None = None) -> None:
        at_least(1, resamples=resamples)
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randint(images, (resamples, images), generator=generator)
        weights = torch.zeros(resamples, images)
        weights.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=weights.dtype))
        self.weights = weights if groups is None else weights[:, groups]
        self.resamples = resamples

    def auroc(self, clean: Tensor, adversarial: Tensor) -> Tensor:
        """Return the AUROC of each resample, (R,), ties counted half; equal rows belong to the same image.

        Args:
            clean: (n,) scores.
            adversarial: (n,) scores of the adversarial images.
        """
        return superiority(adversarial, clean, self.weights, self.weights)

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean of values (n,), one per image, in each resample, (R,)."""
        weights = self.weights.double()
        return weights @ values.double() / weights.sum(1)

    def ratio(self, chosen: Tensor, among: Tensor) -> Tensor:
        """Return the share of some images among others in each resample, (R,); NaN where none of these was drawn.

        Args:
            chosen: (n,) bool, a part of `among`.
            among: (n,) bool.
        """
        weights = self.weights.double()
        return (weights @ chosen.double()) / (weights @ among.double())

    def over_seeds(self, replicates: Sequence[Tensor]) -> Tensor:
        """Return the mean over seeds, themselves drawn with replacement, in each resample, (R,).

        Args:
            replicates: (R,) of each seed. The draws of seeds are the same for every call with so many seeds.
        """
        count = len(replicates)
        generator = torch.Generator().manual_seed(count)
        drawn = torch.randint(count, (count, self.resamples), generator=generator)
        return torch.stack(list(replicates)).gather(0, drawn).mean(0)


def superiority(x: Tensor, y: Tensor, of_x: Tensor, of_y: Tensor) -> Tensor:
    """Return P(X > Y), ties counted half, in each resample, (R,).

    Args:
        x: (n,).
        y: (m,).
        of_x: (R, n), how often each value is drawn.
        of_y: (R, m).
    """
    ordered, order = y.double().sort()
    below, up_to = (torch.searchsorted(ordered, x.double(), right=right) for right in (False, True))
    parts = []
    for start in range(0, len(of_x), _ROWS):
        xs, ys = (weights[start : start + _ROWS].double() for weights in (of_x, of_y))
        counted = torch.nn.functional.pad(ys[:, order].cumsum(1), (1, 0))
        wins = (xs * (counted[:, below] + counted[:, up_to]) / 2).sum(1)
        parts.append(wins / (xs.sum(1) * ys.sum(1)))
    return torch.cat(parts)


def interval(value: float, replicates: Tensor) -> Interval:
    """Return the percentile interval of a statistic.

    Args:
        value: Of the data themselves.
        replicates: (R,) of the resamples; NaN does not count. Where nothing else is left, the interval is the value.
    """
    known = replicates[~replicates.isnan()].double()
    if len(known) == 0:
        return Interval(value, value, value)
    ends = known.quantile(torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64))
    return Interval(value, ends[0].item(), ends[1].item())


@dataclass(frozen=True)
class Statistic:
    """A number, and the same of each resample, so that differences of two are paired.

    Attributes:
        value: Of the data themselves.
        replicates: (R,), NaN where a resample has none.
        n: Values that it rests on.
    """

    value: float
    replicates: Tensor
    n: int

    @property
    def interval(self) -> Interval:
        """Its 95 % bootstrap interval."""
        return interval(self.value, self.replicates)

    def minus(self, other: "Statistic") -> "Statistic":
        """Return the difference from a statistic of the same images, all of them known in both."""
        return Statistic(self.value - other.value, self.replicates - other.replicates, min(self.n, other.n))


def mean_of(values: Tensor, resampling: Resampling) -> Statistic | None:
    """Return the mean of the values (n,) that are known; None if there are none.

    Args:
        values: NaN where there is none.
        resampling: Of the images that they belong to.
    """
    known = ~values.isnan()
    if not known.any():
        return None
    sums, counts = resampling.mean(values.nan_to_num(0.0)), resampling.mean(known.double())
    return Statistic(values[known].double().mean().item(), sums / counts, int(known.sum()))
