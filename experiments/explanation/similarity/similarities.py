"""The similarities of each image's maps, by method, measure and change, and the statistics of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from experiments.explanation.similarity.changes import CLEAN, Change
from experiments.explanation.similarity.grids import Example
from experiments.explanation.similarity.records import SUBSETS, Key, MeanSimilarity, Setting
from experiments.results.bootstrap import Resampling, Statistic, as_plain, mean_of, superiority

Likeness = Mapping[str, Tensor]
"""(n,) by measure; NaN where it is not defined."""


@dataclass(frozen=True)
class Similarities(Setting):
    """The similarities of maps of n images.

    Attributes:
        predictions: The predicted classes (n,) by change.
        alike: Similarities by method and change; absent where a method is left out of a change.
    """

    predictions: Mapping[Change, Tensor]
    alike: Mapping[tuple[str, Change], Likeness]
    examples: Sequence[Example]

    @cached_property
    def count(self) -> int:
        """How many images there are."""
        return len(self.predictions[CLEAN])

    @cached_property
    def resampling(self) -> Resampling:
        """The draws of the images; the same for all statistics, which makes them paired."""
        return Resampling(self.count, self.settings.resamples)

    @property
    def targeted_methods(self) -> list[str]:
        """Those whose maps under targeted attacks were compared."""
        return [name for name in self.methods if (name, self.settings.targeted[0]) in self.alike]

    def fooled(self, change: Change) -> Tensor:
        """Return (n,) bool: whether the change changes the predicted class."""
        return self.predictions[change] != self.predictions[CLEAN]

    def of(self, method: str, metric: str, change: Change, subset: str = "all") -> Tensor:
        """Return similarities (n,), NaN of images that are not in the subset; over all targets, each image's mean."""
        if change == self.settings.all_targets:
            return self.over(method, metric, self.settings.targeted)
        values = self.alike[method, change][metric]
        if subset == "all":
            return values
        return values.masked_fill(self.fooled(change) != (subset == "fooled"), torch.nan)

    def over(self, method: str, metric: str, changes: Sequence[Change]) -> Tensor:
        """Return each image's mean (n,) over changes."""
        return torch.stack([self.of(method, metric, change) for change in changes]).nanmean(0)

    def statistic(self, values: Tensor) -> Statistic | None:
        """Return the mean of the values (n,) that are not NaN; None if all are."""
        return mean_of(values, self.resampling)

    def oracle(self, metric: str, epsilon: float, methods: Sequence[str]) -> list[Statistic]:
        """Return AUROCs: the probability that a map differs more from the clean one under the attack than under noise.

        Returns:
            One for each method, on the images where the similarities of all are defined; empty without such images.
        """
        kinds: Sequence[Any] = ("sign noise", "untargeted")
        scores = -torch.stack([self.of(name, metric, Change(kind, epsilon)) for name in methods for kind in kinds])
        scores = scores[:, ~scores.isnan().any(0)]
        count = scores.shape[1]
        if count == 0:
            return []
        resampling, once = Resampling(count, self.settings.resamples), torch.ones(1, count)
        return [
            Statistic(superiority(attack, noise, once, once).item(), resampling.auroc(noise, attack), count)
            for noise, attack in zip(scores[::2], scores[1::2], strict=True)
        ]

    def means(self) -> Iterator[tuple[Key, MeanSimilarity]]:
        """Yield the mean of each method, measure, change and subset; then those over all targets together."""
        for (method, change), likeness in self.alike.items():
            for metric in likeness:
                for subset in SUBSETS if change.kind == "untargeted" else SUBSETS[:1]:
                    yield self._mean(Key(method, metric, change, subset))
        for method in self.targeted_methods:
            for metric in self.alike[method, self.settings.targeted[0]]:
                yield self._mean(Key(method, metric, self.settings.all_targets))

    def _mean(self, key: Key) -> tuple[Key, MeanSimilarity]:
        values = self.of(*key)
        outside = torch.zeros_like(values, dtype=torch.bool)
        if key.subset != "all":
            outside = self.fooled(key.change) != (key.subset == "fooled")
        undefined = values.isnan()
        counts = int((~undefined).sum()), int((undefined & ~outside).sum())
        return key, MeanSimilarity(as_plain(self.statistic(values)), *counts)
