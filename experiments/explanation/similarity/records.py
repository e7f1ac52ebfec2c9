"""How alike maps of clean and of changed images are: similarities of each image, their statistics, and rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Final

import torch
from torch import Tensor

from experiments.explanation.similarity import paper
from experiments.explanation.similarity.changes import CLEAN, Change, SimilaritySettings
from experiments.results.bootstrap import Interval, Resampling, Statistic, clopper_pearson, mean_of, superiority

METRICS: Final[Mapping[str, str]] = {"spearman": "Spearman", "ssim": "mean SSIM", "hog": "HoG"}
"""The paper's three measures."""

OTHERS: Final[Mapping[str, str]] = {"ssim_range_2": "mean SSIM, range 2", "hog_features": "HoG features"}
"""Other readings of them."""

SUBSETS: Final = ("all", "fooled", "not fooled")

Likeness = Mapping[str, Tensor]
"""(n,) by measure; NaN where it is not defined."""


@dataclass(frozen=True)
class MapsAgain:
    """Maps of the same images, made a second time after FGSM of epsilon 0.

    Attributes:
        difference: The largest difference between values of the first and the second maps.
        likeness: Similarity of the first and the second maps.
    """

    difference: float
    likeness: Likeness


@dataclass(frozen=True)
class Example:
    """An image that the grids show.

    Attributes:
        row: Its place among the images.
        number: Its number in the test split or in the folder of photographs.
        label: Name of its class.
        images: Its versions (C, H, W) by change.
        maps: Their maps (1, H, W) by method and change.
    """

    row: int
    number: int
    label: str
    images: Mapping[Change, Tensor]
    maps: Mapping[tuple[str, Change], Tensor]


@dataclass(frozen=True)
class SimilarityRecords:
    """The similarities of maps of n images.

    Attributes:
        methods: Names of all methods, the paper's first.
        paper: Name of each of the paper's methods here, by the paper's name.
        random: Methods whose maps do not depend on the image.
        slow: Methods that are left out of the targeted attacks.
        classes: Names of all classes.
        settings: The changes that were made.
        predictions: The predicted classes (n,) by change.
        alike: Similarities by method and change; absent where a method is left out of a change.
        again: The maps made twice, by method.
        examples: The images shown.
    """

    methods: Sequence[str]
    paper: Mapping[str, str]
    random: Sequence[str]
    slow: Sequence[str]
    classes: Sequence[str]
    settings: SimilaritySettings
    predictions: Mapping[Change, Tensor]
    alike: Mapping[tuple[str, Change], Likeness]
    again: Mapping[str, MapsAgain]
    examples: Sequence[Example]

    @property
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
        return [name for name in self.methods if self.known(name, self.settings.all_targets)]

    @cached_property
    def contested(self) -> float:
        """The epsilon at which the share of fooled images is nearest to a half: both groups have images there."""
        shares = [self.fooled(attack).double().mean().item() for attack in self.settings.untargeted]
        return self.settings.epsilons[min(range(len(shares)), key=lambda place: abs(shares[place] - 0.5))]

    def fooled(self, change: Change) -> Tensor:
        """Return (n,) bool: whether the change changes the predicted class."""
        return self.predictions[change] != self.predictions[CLEAN]

    def known(self, method: str, change: Change) -> bool:
        """Whether a method's maps were compared after a change, or after all targeted attacks."""
        key = self.settings.targeted[0] if change == self.settings.all_targets else change
        return (method, key) in self.alike

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

    def mean(self, method: str, metric: str, change: Change, subset: str = "all") -> Statistic | None:
        """Return the mean similarity; None if there is no such similarity."""
        return self.statistic(self.of(method, metric, change, subset)) if self.known(method, change) else None

    def success(self, change: Change) -> Interval:
        """Return the share of images whose predicted class differs after a change."""
        return clopper_pearson(self.fooled(change).double().mean().item(), self.count)

    def oracle(self, metric: str, epsilon: float, methods: Sequence[str]) -> list[Statistic]:
        """Return AUROCs: the probability that a map differs more from the clean one under the attack than under noise.

        Args:
            metric: Name of a measure.
            epsilon: Size of attack and noise.
            methods: Names of methods.

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

    @cached_property
    def _aurocs(self) -> Mapping[tuple[str, str, float], Statistic | None]:
        keys = product(self.methods, (*METRICS, *OTHERS), self.settings.epsilons)
        return {key: next(iter(self.oracle(key[1], key[2], [key[0]])), None) for key in keys}

    def auroc(self, method: str, metric: str, epsilon: float) -> Statistic | None:
        """Return the oracle's AUROC of a method; None if it is not defined."""
        return self._aurocs[method, metric, epsilon]

    def undefined(self, method: str, metric: str) -> tuple[int, int]:
        """Return how many similarities of a method are not defined, and of how many."""
        values = [likeness[metric] for (name, _), likeness in self.alike.items() if name == method]
        return sum(int(similarities.isnan().sum()) for similarities in values), sum(
            len(similarities) for similarities in values
        )

    def reported(self, method: str, metric: str, change: Change) -> float | None:
        """Return the paper's value of a similarity; None if it reports none."""
        name = next((theirs for theirs, ours in self.paper.items() if ours == method), "")
        return paper.reported(name, metric, change)


def rows_of(records: SimilarityRecords) -> Iterator[dict[str, Any]]:
    """Yield a row for each method, measure, change and subset; and for all targets together."""
    for (method, change), likeness in records.alike.items():
        for metric in likeness:
            for subset in SUBSETS if change.kind == "untargeted" else SUBSETS[:1]:
                yield _row(records, method, metric, change, subset)
    for method in records.targeted_methods:
        for metric in (*METRICS, *OTHERS):
            yield _row(records, method, metric, records.settings.all_targets, "all targets")


def _row(records: SimilarityRecords, method: str, metric: str, change: Change, subset: str) -> dict[str, Any]:
    """Return a row; null where there is no such number."""
    part = subset in {"fooled", "not fooled"}
    values = records.of(method, metric, change, subset if part else "all")
    undefined = values.isnan()
    outside = records.fooled(change) != (subset == "fooled") if part else torch.zeros_like(undefined)
    mean = records.statistic(values)
    epsilon = change.epsilon if change.kind == "untargeted" and not part else None
    auroc = None if epsilon is None else records.auroc(method, metric, epsilon)
    return {
        "method": method,
        "metric": metric,
        "version": change.kind,
        "epsilon": change.epsilon,
        "target": change.target,
        "subset": subset,
        "n": int((~undefined).sum()),
        "undefined": int((undefined & ~outside).sum()),
        **_ends(mean, "mean", "low", "high"),
        "paper": None if part else records.reported(method, metric, change),
        **_ends(auroc, "auroc", "auroc_low", "auroc_high"),
    }


def _ends(statistic: Statistic | None, *names: str) -> dict[str, float | None]:
    ends: Interval | None = None if statistic is None else statistic.interval
    return dict(zip(names, (None, None, None) if ends is None else (ends.value, ends.low, ends.high), strict=True))
