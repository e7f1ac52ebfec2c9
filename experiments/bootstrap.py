"""Bootstrap intervals that resample images and seeds (PROTOCOL B12)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from attacks.checks import at_least

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


class Resampling:
    """How often each image, with all its twins, is drawn in each resample: the same for all detectors, so paired.

    Args:
        images: Number of images.
        resamples: How often they are drawn with replacement.
        seed: Of the draws.

    Raises:
        ValueError: If resamples is below 1.
    """

    def __init__(self, images: int, resamples: int = 1000, seed: int = 0) -> None:
        at_least(1, resamples=resamples)
        self._generator = torch.Generator().manual_seed(seed)
        drawn = torch.randint(images, (resamples, images), generator=self._generator)
        weights = torch.zeros(resamples, images)
        self.weights = weights.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=weights.dtype))
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
