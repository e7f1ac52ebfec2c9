"""Bootstrap intervals that resample images and seeds (PROTOCOL B12); statistics of values that some images lack."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from attacks.checks import at_least
from detectors import metrics

LEVEL: Final = 0.95


@dataclass(frozen=True)
class Interval:
    """A statistic with its bootstrap interval.

    Attributes:
        value: Of the data themselves.
        low: Lower end of the 95 % percentile interval.
        high: Upper end.
    """

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
    """How often each image, with all its twins, is drawn in each resample: the same for all detectors, so paired.

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
        self._generator = torch.Generator().manual_seed(seed)
        drawn = torch.randint(images, (resamples, images), generator=self._generator)
        weights = torch.zeros(resamples, images)
        weights.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=weights.dtype))
        self.weights = weights if groups is None else weights[:, groups]
        self.resamples = resamples

    def auroc(self, clean: Tensor, adversarial: Tensor) -> Tensor:
        """Return the AUROC of each resample, (R,); rows of the two belong to the same image, ties count half.

        Args:
            clean: (n,) scores.
            adversarial: (n,) scores of the twins.
        """
        ordered, order = clean.double().sort()
        twins = adversarial.double()
        first = torch.searchsorted(ordered, twins, right=False)
        last = torch.searchsorted(ordered, twins, right=True)
        found = []
        for weights in self.weights.double().split(_ROWS):  # type: ignore[no-untyped-call]
            below = torch.nn.functional.pad(weights[:, order].cumsum(1), (1, 0))
            wins = (weights * (below[:, first] + below[:, last]) / 2).sum(1)
            found.append(wins / weights.sum(1) ** 2)
        return torch.cat(found)

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


_ROWS: Final = 64
"""Resamples at a time: so many rows of all images stay in the cache."""


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


class Estimates:
    """Statistics of values (n,), one for each image, NaN where there is none; the same draws for all, so paired.

    Args:
        images: n.
        resamples: Of the bootstrap.
    """

    def __init__(self, images: int, resamples: int) -> None:
        self._drawn = Resampling(images, resamples)
        self._resamples = resamples

    def mean(self, values: Tensor) -> Interval | None:
        """Return the mean of what there is; None if there is nothing."""
        known = ~values.isnan()
        if not known.any():
            return None
        return interval(values[known].double().mean().item(), self._means(values))

    def difference(self, first: Tensor, second: Tensor) -> Interval | None:
        """Return the mean of first minus second, where there are both."""
        return self.mean(first - second)

    def deviation(self, values: Sequence[Tensor]) -> Interval | None:
        """Return the standard deviation between the means of several groups (n,) of the same images."""
        if not values or any(each.isnan().all() for each in values):
            return None
        found = torch.stack([each.nanmean() for each in values]).std(correction=0)
        return interval(found.item(), torch.stack([self._means(each) for each in values]).std(0, correction=0))

    def auroc(self, reference: Tensor, attacked: Tensor) -> Interval | None:
        """Return the chance that an attacked image has the lower similarity, ties counted half.

        Args:
            reference: (n,) similarities under a change that is no attack.
            attacked: (n,), of the same images.
        """
        known = ~(reference.isnan() | attacked.isnan())
        scores = -reference[known], -attacked[known]
        value = metrics.auroc(*scores)
        if value is None:
            return None
        return interval(value, Resampling(int(known.sum()), self._resamples).auroc(*scores))

    def auroc_difference(self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Interval | None:
        """Return the first AUROC minus the second, on the images where both are defined.

        Args:
            first: See `auroc`.
            second: See `auroc`.
        """
        known = ~torch.stack([*first, *second]).isnan().any(0)
        scores = [tuple(-each[known] for each in pair) for pair in (first, second)]
        one, two = (metrics.auroc(*pair) for pair in scores)
        if one is None or two is None:
            return None
        drawn = Resampling(int(known.sum()), self._resamples)
        one_drawn, two_drawn = (drawn.auroc(*pair) for pair in scores)
        return interval(one - two, one_drawn - two_drawn)

    def _means(self, values: Tensor) -> Tensor:
        """Return the mean in each resample, (R,); NaN where nothing known was drawn."""
        return self._drawn.mean(values.nan_to_num()) / self._drawn.mean(~values.isnan())


def average(values: Sequence[Tensor]) -> Tensor:
    """Return each image's mean (n,) over several values of it, over those that are defined."""
    return torch.stack(list(values)).nanmean(0)
