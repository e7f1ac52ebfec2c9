"""Intervals: a bootstrap over images, and Student's t over seeds (PROTOCOL B12)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import hypot, inf, sqrt
from statistics import fmean, stdev
from typing import Final

import torch
from scipy import stats
from torch import Tensor

from attacks.checks import at_least

LEVEL: Final = 0.95

_WIDTH: Final = 1e-9

_SKEWED: Final = 0.45
"""Rates over seeds that lie below, or above one less this, are skewed."""

_SKEWED_IMAGES: Final = 7
"""What a seed counts at most for, near rates of 0 and 1."""

_ROWS: Final = 64
"""Resamples at a time, whose rows of all images stay in the cache."""


@dataclass(frozen=True)
class Interval:
    """A statistic with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def flat(self) -> bool:
        """Whether it has no width but for rounding: all values are equal, or at their limit."""
        return self.high - self.low < _WIDTH

    def __str__(self) -> str:
        """Return it as `.912 [.880, .941]`, or as `.912 (does not vary)` without a width."""
        if self.flat:
            return f"{self.value:.3f} (does not vary)"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def __neg__(self) -> "Interval":
        """Return the interval of the negative statistic."""
        return Interval(-self.value, -self.high, -self.low)


@dataclass(frozen=True)
class PlainStatistic(Interval):
    """A statistic with the ends of its 95 % interval, and the number of values that it rests on."""

    n: int


class Resampling:
    """How often each image is drawn in each resample; one instance serves all detectors, which makes them paired.

    An image is drawn together with its adversarial images.

    Args:
        images: Number of images.
        resamples: How often they are drawn with replacement.
        seed: The seed of the draws.
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


def interval(value: float, replicates: Tensor, by_seed: Sequence[float] = ()) -> Interval:
    """Return the 95 % interval of a statistic, over images and seeds.

    Without seeds these are the percentiles of the replicates. The mean over S seeds has a further error: Student's t
    with S - 1 degrees of freedom, times the standard error of the mean, is added to the replicates. Drawing three seeds
    with replacement instead covers about 75 to 80 % where seeds differ by more than images.

    Args:
        value: The statistic of the data themselves.
        replicates: (R,) of the resamples; NaN does not count. Where nothing else is left, the interval is the value.
        by_seed: (S,), whose mean the value is; below two, nothing is known of other seeds.
    """
    defined = replicates[~replicates.isnan()].double()
    if len(defined) == 0:
        return Interval(value, value, value)
    if len(by_seed) > 1:
        defined = defined + _errors(len(by_seed), len(defined)) * (stdev(by_seed) / len(by_seed) ** 0.5)
    ends = defined.quantile(torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64))
    return Interval(value, ends[0].item(), ends[1].item())


def clopper_pearson(share: float, count: int) -> Interval:
    """Return a share of `count` images with Clopper and Pearson's exact 95 % interval, whose coverage is never less.

    Wilson's covers .92 for a share of .05 of 20 images. This one also serves an AUROC of as many pairs: its variance is
    at most that of such a share (Birnbaum, 1956).
    """
    hits, misses, tail = share * count, (1 - share) * count, (1 - LEVEL) / 2
    low = float(stats.beta.ppf(tail, hits, misses + 1)) if hits > 0 else 0.0
    high = float(stats.beta.ppf(1 - tail, hits + 1, misses)) if misses > 0 else 1.0
    return Interval(share, low, high)


def half_width(values: Sequence[float]) -> float:
    """Return half the width of the 95 % interval of the mean of values (S,), by Student's t; 0 below two."""
    if len(values) < 2:  # noqa: PLR2004 - a deviation needs two
        return 0.0
    return float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)) * stdev(values) / sqrt(len(values))


def mean_of_seeds(intervals: Sequence[Interval]) -> Interval:
    """Return the mean over seeds of a rate, from each seed's interval over the same images.

    The seeds' errors over images may move together, so that their mean has the mean width. Student's t over seeds is
    independent of it; half-widths of independent errors are added as squares (Zou & Donner, 2008). Rates near 0 or 1
    are skewed over seeds: a few that agree do not show the rare ones that differ. So near there the end towards one
    half lies at least where it would if each seed had `_SKEWED_IMAGES` images. Where seeds' rates deviate by up to half
    of sqrt(rate (1 - rate)), three cover their mean in at least 93 % of cases. Of one seed, the interval is its own.
    """
    value, low, high = (fmean(ends) for ends in zip(*((e.value, e.low, e.high) for e in intervals), strict=True))
    seeds = half_width([interval.value for interval in intervals])
    low, high = value - hypot(value - low, seeds), value + hypot(high - value, seeds)
    if len(intervals) > 1:
        skewed = clopper_pearson(value, _SKEWED_IMAGES * len(intervals))
        low, high = min(low, max(skewed.low, 1 - _SKEWED)), max(high, min(skewed.high, _SKEWED))
    return Interval(value, max(0.0, low), min(1.0, high))


@lru_cache
def _errors(seeds: int, count: int) -> Tensor:
    """Return quantiles of Student's t at even steps, (count,) in a random order, the same at every call."""
    places = (torch.randperm(count, generator=torch.Generator().manual_seed(seeds)) + 0.5) / count
    return torch.from_numpy(stats.t.ppf(places.double().numpy(), seeds - 1))


@dataclass(frozen=True)
class Statistic:
    """A number, and the same of each resample, so that differences of two are paired.

    Attributes:
        value: The number that the data themselves give.
        replicates: (R,), NaN where a resample has none.
        n: Values that it rests on.
        by_seed: The same number for each seed, where it is a mean over seeds.
        within: The lowest and the highest value that it can have, where the interval ends.
    """

    value: float
    replicates: Tensor
    n: int
    by_seed: Sequence[float] = ()
    within: tuple[float, float] = (-inf, inf)

    @property
    def interval(self) -> Interval:
        """Its 95 % interval over images and, where it is a mean over several, over seeds."""
        ends, (lowest, highest) = interval(self.value, self.replicates, self.by_seed), self.within
        return replace(ends, low=max(lowest, ends.low), high=min(highest, ends.high))

    @property
    def plain(self) -> PlainStatistic:
        """The same as plain numbers."""
        ends = self.interval
        return PlainStatistic(ends.value, ends.low, ends.high, self.n)

    def minus(self, other: "Statistic") -> "Statistic":
        """Return the difference from a statistic of the same images, all of them known in both."""
        seeds = [first - second for first, second in zip(*_same_seeds([self, other]), strict=True)]
        return Statistic(self.value - other.value, self.replicates - other.replicates, min(self.n, other.n), seeds)


def over_seeds(statistics: Sequence[Statistic]) -> Statistic:
    """Return the mean of a statistic over seeds, one each, all of the same images."""
    return replace(average(statistics), by_seed=[statistic.value for statistic in statistics])


def average(statistics: Sequence[Statistic]) -> Statistic:
    """Return the mean of statistics of the same images, at least one."""
    return Statistic(
        fmean(statistic.value for statistic in statistics),
        torch.stack([statistic.replicates for statistic in statistics]).mean(0),
        min(statistic.n for statistic in statistics),
        list(map(fmean, zip(*_same_seeds(statistics), strict=True))),
        statistics[0].within,
    )


def _same_seeds(statistics: Sequence[Statistic]) -> list[Sequence[float]]:
    """Return the values by seed of each statistic, as many of each: one that has no seeds is the same for all."""
    count = max(len(statistic.by_seed) for statistic in statistics)
    return [statistic.by_seed if len(statistic.by_seed) > 1 else [statistic.value] * count for statistic in statistics]


def mean_of(values: Tensor, resampling: Resampling) -> Statistic | None:
    """Return the mean of the values (n,) that are known; None if there are none.

    Args:
        values: NaN where there is none.
        resampling: The resampling of the images that the values belong to.
    """
    defined = ~values.isnan()
    if not defined.any():
        return None
    sums, counts = resampling.mean(values.nan_to_num(0.0)), resampling.mean(defined.double())
    return Statistic(values[defined].double().mean().item(), sums / counts, int(defined.sum()))


def mean_of_all(values: Tensor, resampling: Resampling) -> Statistic:
    """Return the mean of values (n,), all of them known."""
    return Statistic(values.double().mean().item(), resampling.mean(values), len(values))


def as_plain(statistic: Statistic | None) -> PlainStatistic | None:
    """Return a statistic as plain numbers; None if it is not defined."""
    return None if statistic is None else statistic.plain
