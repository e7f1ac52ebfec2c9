"""Two samples: quantiles of distances and which are larger, and which of two success rates is lower."""

from dataclasses import dataclass
from typing import Final

import torch
from scipy.stats import mannwhitneyu
from torch import Tensor

from attacks.checks import at_least
from experiments.results.bootstrap import Resampling, interval, superiority
from experiments.results.verdicts import FEWEST

NEGLIGIBLE: Final = (0.44, 0.56)
"""A P(X > Y) between these counts as no difference (Vargha & Delaney, 2000)."""

_SURE: Final = 1.96
"""Standard errors in a 95 % interval."""

CHANCE: Final = 0.5
"""P(X > Y) of two samples of one distribution."""

QUANTILES: Final = {"q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95}


@dataclass(frozen=True)
class Draw:
    """Test images dealt out so that no image is in both samples, nor in two pairs.

    Attributes:
        same: (n,) rows whose image is compared with a changed version of itself.
        first: (m,) rows of one half of the pairs of different images.
        second: (m,) rows of the other half.
    """

    same: Tensor
    first: Tensor
    second: Tensor


def draw(images: int, limit: int | None = None, seed: int = 0) -> Draw:
    """Deal out test images: one half is compared with changed versions of itself, the other makes pairs of images.

    Args:
        images: How many there are.
        limit: Largest number of pairs in each comparison; None: all.
        seed: Seed of the random order.

    Raises:
        ValueError: If the limit is below 1.
    """
    if limit is not None:
        at_least(1, pairs=limit)
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed))
    quarter = images // 4
    first, second, same = order[:quarter], order[quarter : 2 * quarter], order[2 * quarter :]
    return Draw(same[:limit].sort().values, first[:limit], second[:limit])


def same_class(classes: Tensor) -> tuple[Tensor, Tensor]:
    """Return (m,) positions each of disjoint pairs of one class, neighbours in order, for classes (n,)."""
    pairs = [torch.empty(0, 2, dtype=torch.long)]
    for name in torch.unique(classes):
        positions = (classes == name).nonzero().flatten()
        pairs.append(positions[: len(positions) // 2 * 2].view(-1, 2))
    joined = torch.cat(pairs)
    return joined[:, 0], joined[:, 1]


@dataclass(frozen=True)
class Comparison:
    """A sample X against a sample Y, by the Mann-Whitney U test; null where one is empty.

    Attributes:
        n: Size of X.
        n_different: Size of Y.
        u: The U statistic of X, ties counted half.
        p_value: The p-value of the two-sided test.
        probability: P(X > Y) = U / (n m), ties counted half.
        low: Lower end of its 95 % bootstrap interval.
        high: Upper end.
        constant: Whether all values of a sample are equal, as those of maps that are empty or that no image changes.
    """

    n: int
    n_different: int
    u: float | None = None
    p_value: float | None = None
    probability: float | None = None
    low: float | None = None
    high: float | None = None
    constant: bool = False

    @property
    def direction(self) -> str | None:
        """Which of the two tends to be larger."""
        if self.probability is None:
            return None
        return "X = Y" if self.probability == CHANCE else "X > Y" if self.probability > CHANCE else "X < Y"

    @property
    def verdict(self) -> str | None:
        """Whether X is larger, smaller, or as large as Y (the interval lies within `NEGLIGIBLE`); else not decided."""
        if self.low is None or self.high is None:
            return None
        if self.undecided is not None:
            return "not decided"
        if self.low >= NEGLIGIBLE[0] and self.high <= NEGLIGIBLE[1]:
            return "as large"
        if self.low > CHANCE:
            return "larger"
        return "smaller" if self.high < CHANCE else "not decided"

    @property
    def undecided(self) -> str | None:
        """Why these samples cannot decide anything; None: they can."""
        if self.constant:
            return "all values of a sample are equal"
        few = min(self.n, self.n_different)
        return f"{few} values are too few to decide, it takes {FEWEST}" if few < FEWEST else None


def compare(x: Tensor, y: Tensor, resamples: int = 1000) -> Comparison:
    """Compare two independent samples, (n,) and (m,), in float64; NaN does not count. The bootstrap draws from both."""
    x, y = (values[~values.isnan()].double() for values in (x, y))
    n, m = len(x), len(y)
    if min(n, m) == 0:
        return Comparison(n, m)
    test = mannwhitneyu(x.numpy(), y.numpy(), alternative="two-sided")
    of_x, of_y = (Resampling(count, resamples, seed).weights for seed, count in enumerate((n, m)))
    ends = interval(float(test.statistic) / (n * m), superiority(x, y, of_x, of_y))
    constant = any(bool((values == values[0]).all()) for values in (x, y))
    return Comparison(n, m, float(test.statistic), float(test.pvalue), ends.value, ends.low, ends.high, constant)


def spread_of(values: Tensor) -> dict[str, float | None]:
    """Return mean and quantiles of values (n,), by name; None where there are none."""
    if len(values) == 0:
        return dict.fromkeys(("mean", *QUANTILES))
    values = values.double().cpu()
    quantiles = values.quantile(values.new_tensor(list(QUANTILES.values()))).tolist()
    return {"mean": mean(values), **dict(zip(QUANTILES, quantiles, strict=True))}


def mean(values: Tensor) -> float | None:
    """Return the mean; None if there are no values."""
    return values.mean().item() if len(values) else None


def weaker(rate: float | None, count: int, other: float | None, other_count: int) -> bool | None:
    """Return whether a success rate is below another one by more than the 95 % binomial interval.

    None if a rate does not exist.
    """
    if rate is None or other is None:
        return None
    variances = [
        (share * n + 1) / (n + 2) * (1 - (share * n + 1) / (n + 2)) / n  # one success and one failure more: never 0
        for share, n in ((rate, count), (other, other_count))
    ]
    return other - rate > _SURE * float(sum(variances) ** 0.5)
