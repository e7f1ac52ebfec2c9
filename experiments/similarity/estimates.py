"""Means, differences and AUROCs of similarities, with bootstrap intervals that resample images."""

from collections.abc import Sequence

import torch
from torch import Tensor

from detectors import metrics
from experiments.bootstrap import Interval, Resampling, interval


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
