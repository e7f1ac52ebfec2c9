"""How alike maps of clean and of changed images are: plain values, their statistics, and the rows made of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import torch
from torch import Tensor

from detectors import metrics
from experiments.explanation.similarity import paper
from experiments.explanation.similarity.changes import CLEAN, Change, SimilaritySettings
from experiments.results.bootstrap import Interval, Resampling, Statistic, mean_of

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
        difference: The largest between values of the maps.
        likeness: With the first maps.
    """

    difference: float
    likeness: Likeness


@dataclass(frozen=True)
class Example:
    """An image that the grids show.

    Attributes:
        row: Among the images.
        number: In the test split; of a photograph its number.
        label: Name of its class.
        images: (C, H, W) by change.
        maps: (1, H, W) by method and change.
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
        methods: Names, the paper's first.
        paper: What the paper's methods are called here, by the paper's name.
        random: Methods whose maps do not depend on the image.
        slow: Methods that are left out of the targeted attacks.
        classes: Names of all classes.
        settings: Which changes were made.
        predictions: (n,) by change.
        alike: By method and change; not of a method that is left out of a change.
        again: By method.
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

    def interval(self, values: Tensor) -> Interval | None:
        """Return the mean of the values (n,) that are not NaN; None if all are."""
        mean = mean_of(values, self.resampling)
        return None if mean is None else mean.interval

    def mean(self, method: str, metric: str, change: Change, subset: str = "all") -> Interval | None:
        """Return the mean similarity; None if there is no such similarity."""
        return self.interval(self.of(method, metric, change, subset)) if self.known(method, change) else None

    def oracle(self, metric: str, epsilon: float, methods: Sequence[str]) -> list[Statistic]:
        """Return AUROCs: the chance that an image is less like the clean one under the attack than under noise.

        Args:
            metric: The measure of similarity.
            epsilon: Of attack and noise.
            methods: Each gives an AUROC, on the images where the similarities of all are defined.

        Returns:
            One for each method; empty where there is no such image.
        """
        kinds: Sequence[Any] = ("sign noise", "untargeted")
        scores = -torch.stack([self.of(name, metric, Change(kind, epsilon)) for name in methods for kind in kinds])
        scores = scores[:, ~scores.isnan().any(0)]
        count = scores.shape[1]
        if count == 0:
            return []
        resampling = Resampling(count, self.settings.resamples)
        pairs = [(scores[place], scores[place + 1]) for place in range(0, len(scores), 2)]
        return [Statistic(metrics.auroc(*pair) or 0.0, resampling.auroc(*pair), count) for pair in pairs]

    @cached_property
    def _aurocs(self) -> Mapping[tuple[str, str, float], Interval | None]:
        keys = [(m, metric, e) for m in self.methods for metric in (*METRICS, *OTHERS) for e in self.settings.epsilons]
        areas = {(name, metric, epsilon): self.oracle(metric, epsilon, [name]) for name, metric, epsilon in keys}
        return {key: area[0].interval if area else None for key, area in areas.items()}

    def auroc(self, method: str, metric: str, epsilon: float) -> Interval | None:
        """Return the oracle's AUROC of a method; None if it is not defined."""
        return self._aurocs[method, metric, epsilon]

    def undefined(self, method: str, metric: str) -> tuple[int, int]:
        """Return how many similarities of a method are not defined, and of how many."""
        values = [likeness[metric] for (name, _), likeness in self.alike.items() if name == method]
        return sum(int(each.isnan().sum()) for each in values), sum(len(each) for each in values)

    def reported(self, method: str, metric: str, change: Change) -> float | None:
        """Return what the paper reports for a similarity; None if it does not."""
        name = next((known for known, ours in self.paper.items() if ours == method), "")
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
    mean = records.interval(values)
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


def _ends(interval: Interval | None, *names: str) -> dict[str, float | None]:
    values = (None, None, None) if interval is None else (interval.value, interval.low, interval.high)
    return dict(zip(names, values, strict=True))
