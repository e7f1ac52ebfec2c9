"""A detector's scores of the test images under an attack, and AUROCs over several seeds."""

from collections.abc import Hashable
from typing import Generic, TypeVar

from torch import Tensor

from detectors import metrics
from experiments.results.bootstrap import Resampling, Statistic, over_seeds, superiority
from experiments.study.contenders import Contender
from experiments.study.images import AttackedSet, TestImages
from experiments.study.metrics import PairScores

Key = TypeVar("Key", bound=Hashable)


def pair_scores(images: TestImages, contender: Contender, under: AttackedSet) -> PairScores:
    """Return a detector's scores of all pairs under an attack."""
    fooled = under.subsets["successful"]
    return PairScores(
        contender,
        clean=images.scores(contender.module),
        adversarial=images.scores(contender.module, under),
        rounded=images.scores(contender.module, under, "rounded"),
        noise=images.scores(contender.module, under, "noise"),
        right=fooled | under.subsets["failed"],
        fooled=fooled,
    )


class AreasBySeed(Generic[Key]):
    """The AUROCs of each cell, one for each seed, with their resamples."""

    def __init__(self, resampling: Resampling) -> None:
        self._resampling = resampling
        self._areas: dict[Key, list[Statistic]] = {}

    def add(self, cell: Key, area: Statistic | None) -> None:
        """Add the AUROC of another seed, unless it is undefined."""
        if area is not None:
            self._areas.setdefault(cell, []).append(area)

    def area(self, clean: Tensor, adversarial: Tensor, pairs: Tensor | None = None) -> Statistic | None:
        """Return the AUROC of scores (M,), of all or some `pairs`, (M,) bool; None if it is undefined."""
        weights = self._resampling.weights
        if pairs is not None:
            clean, adversarial, weights = clean[pairs], adversarial[pairs], weights[:, pairs]
        value = metrics.auroc(clean, adversarial)
        if value is None:
            return None
        return Statistic(value, superiority(adversarial, clean, weights, weights), len(adversarial), within=(0, 1))

    def over_seeds(self) -> dict[Key, Statistic]:
        """Return the mean over seeds of each cell."""
        return {cell: over_seeds(areas) for cell, areas in self._areas.items()}
