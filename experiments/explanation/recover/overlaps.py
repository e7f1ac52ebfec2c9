"""The attacks on regions, how far each method's explanations overlap these, and the statistics of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import torch
from scipy.stats import rankdata
from torch import Tensor, bincount

from experiments.explanation.recover.records import (
    LIME_NAME,
    PERTURBATION,
    RANDOM,
    THREE,
    UNIONS,
    AttackCounts,
    OverlapRow,
    PooledRow,
    RecoverRecords,
)
from experiments.results.bootstrap import PlainStatistic, Resampling, mean_of_all


@dataclass(frozen=True)
class Attempts:
    """All attacks tried, and the images of the successful ones.

    Attributes:
        images: (n, C, H, W) in [0, 1], before the attacks.
        labels: (n,), their true classes.
        clean_logits: (n, K), their logits.
        rows: (n,), their numbers in the test split or folder.
        classes: Names of the K classes.
        segments: (n, H, W), the segmentation of each image.
        left_out: (n,) bool, images already predicted as the target.
        image: (A,), the index of each attempt's image.
        region: (A, H, W) bool, the only pixels that may change; of an image the largest first.
        target: (A,), the class to reach.
        succeeded: (A,) bool; the others are discarded.
        escaped: How many attempts changed a pixel outside of their region: none, unless something is wrong.
        adversarial: (M, C, H, W), the images of successful attacks.
        logits: (M, K), their logits.
    """

    images: Tensor
    labels: Tensor
    clean_logits: Tensor
    rows: Tensor
    classes: Sequence[str]
    segments: Tensor
    left_out: Tensor
    image: Tensor
    region: Tensor
    target: Tensor
    succeeded: Tensor
    escaped: int
    adversarial: Tensor
    logits: Tensor

    @property
    def sources(self) -> Tensor:
        """The number (M,) of the image behind each adversarial one."""
        return self.image[self.succeeded]

    @property
    def regions(self) -> Tensor:
        """The region (M, H, W) that changed in each adversarial image."""
        return self.region[self.succeeded]

    @property
    def targets(self) -> Tensor:
        """The class (M,) that each adversarial image is predicted as."""
        return self.target[self.succeeded]


@dataclass(frozen=True)
class RegionOverlap:
    """How far one method's explanations overlap the attacked regions.

    Attributes:
        jaccard: (M, 20), Jaccard index of explanations as large as the unions.
        likeness: (M, 20), 1 minus their Hamming distance as a share of the pixels.
        level: (M,), Jaccard index of an explanation as large as the region.
        auroc: (M,), AUROC of the map as a score of pixels.
        shown: (S, P), the pixels of the examples, the most relevant first.
    """

    jaccard: Tensor
    likeness: Tensor
    level: Tensor
    auroc: Tensor
    shown: Tensor


@dataclass(frozen=True)
class Overlaps:
    """All methods on all adversarial images. All intervals use the same resamples of photographs and are paired.

    Attributes:
        sizes: (M, 20), pixels of each union of LIME's superpixels, and so of every explanation.
        superpixels: (M,), number of LIME's superpixels.
        positive: (M,), number of those with a positive weight.
        methods: Overlap of each method by name, the controls `PERTURBATION` and `RANDOM` last.
        pooled: Overlap of the same maps averaged over LIME's superpixels, by name and without LIME.
        examples: (S,), rows of the adversarial images that are shown.
    """

    attempts: Attempts
    resamples: int
    sizes: Tensor
    superpixels: Tensor
    positive: Tensor
    methods: Mapping[str, RegionOverlap]
    pooled: Mapping[str, RegionOverlap]
    examples: Tensor

    @cached_property
    def photographs(self) -> int:
        """The number of photographs with a successful attack."""
        return len(torch.unique(self.attempts.sources))

    @cached_property
    def _resampling(self) -> Resampling:
        _, groups = torch.unique(self.attempts.sources, return_inverse=True)
        return Resampling(self.photographs, self.resamples, groups=groups)

    def mean(self, values: Tensor) -> PlainStatistic:
        """Return the mean of values (M,) or (M, n), all of them known; n counts photographs.

        A photograph is drawn with all its regions.
        """
        rows = values.double().flatten(1).mean(1) if values.ndim > 1 else values.double()
        return replace(mean_of_all(rows, self._resampling).plain, n=self.photographs)

    @property
    def maps(self) -> list[str]:
        """The names of the methods that are no controls."""
        return [name for name in self.methods if name not in {PERTURBATION, RANDOM}]

    def ranks(self, methods: Sequence[str], measure: str) -> dict[str, Tensor]:
        """Return the ranks (M, 20) of methods among themselves, by name."""
        scores = torch.stack([getattr(self.methods[name], measure) for name in methods])
        return dict(zip(methods, ranks(scores), strict=True))

    def records(self) -> RecoverRecords:
        """Return all statistics as plain numbers."""
        jaccard, first = {name: overlap.jaccard for name, overlap in self.methods.items()}, int(self.examples[0])
        lime = jaccard[LIME_NAME]
        return RecoverRecords(
            attacks=self._attacks(),
            explanations=len(self.attempts.adversarial),
            photographs=self.photographs,
            rows=list(self._rows()),
            largest={name: self.mean(values.amax(1)) for name, values in jaccard.items()},
            pooled={name: self._pooled(name) for name in self.pooled},
            ahead_of_lime={name: self.mean(jaccard[name] - lime) for name in self.maps if name != LIME_NAME},
            rank_leads=self._rank_leads() if set(THREE) <= set(self.methods) else {},
            example={
                name: {measure: getattr(method, measure)[first].tolist() for measure in _RANKED}
                for name, method in self.methods.items()
            },
            superpixels=self.superpixels.tolist(),
            positive=self.positive.tolist(),
        )

    def _attacks(self) -> AttackCounts:
        attempts = self.attempts
        tried, won = (bincount(at, minlength=len(attempts.left_out)) for at in (attempts.image, attempts.sources))
        photographs, groups = torch.unique(attempts.image, return_inverse=True)
        drawn = Resampling(len(photographs), self.resamples, groups=groups)  # a photograph with all attacks on it
        return AttackCounts(
            tried=tried.tolist(),
            won=won.tolist(),
            left_out=attempts.left_out.tolist(),
            escaped=attempts.escaped,
            tried_share=attempts.region.double().mean().item(),
            won_share=attempts.regions.double().mean().item(),
            success=replace(mean_of_all(attempts.succeeded, drawn).plain, n=len(photographs)),
        )

    def _rows(self) -> Iterator[OverlapRow]:
        three, everyone = [name for name in THREE if name in self.methods], [*self.maps, RANDOM]
        among = {
            f"rank_among_{which}_{measure}": self.ranks(names, measure)
            for which, names in (("three", three), ("all", everyone))
            for measure in _RANKED
        }
        for name, method in self.methods.items():
            noise = self.methods[RANDOM]
            values = {
                "jaccard": method.jaccard,
                "jaccard_minus_random": method.jaccard - noise.jaccard,
                "likeness": method.likeness,
                "likeness_minus_random": method.likeness - noise.likeness,
                "jaccard_at_region_size": method.level,
                "jaccard_at_region_size_minus_random": method.level - noise.level,
                "auroc": method.auroc,
                **{label: by_name.get(name) for label, by_name in among.items()},
            }
            for union in (None, *range(1, UNIONS + 1)):
                means = {label: self._mean_at(tensor, union) for label, tensor in values.items()}
                yield OverlapRow(name, union, self._size_share(union), means)

    def _mean_at(self, values: Tensor | None, union: int | None) -> PlainStatistic | None:
        """Return the mean at a union; None where values (M,) do not depend on it."""
        if values is None or (values.ndim == 1 and union is not None):
            return None
        return self.mean(values if union is None else values[:, union - 1])

    def _size_share(self, union: int | None) -> float:
        """Return the mean size of explanations as a share of an image."""
        sizes = self.sizes if union is None else self.sizes[:, union - 1]
        return (sizes.double().mean() / self.attempts.regions[0].numel()).item()

    def _pooled(self, name: str) -> PooledRow:
        values = self.pooled[name].jaccard
        return PooledRow(
            jaccard=self.mean(values),
            minus_plain=self.mean(values - self.methods[name].jaccard),
            minus_random=None if name == RANDOM else self.mean(values - self.pooled[RANDOM].jaccard),
            behind_lime=self.mean(self.methods[LIME_NAME].jaccard - values),
        )

    def _rank_leads(self) -> dict[str, PlainStatistic]:
        """Return each paper method's lead over the next, in ranks by the Jaccard index; those by likeness are equal."""
        by_name, (worst, middle, best) = self.ranks(THREE, "jaccard"), THREE
        return {
            f"{worse} minus {better}": self.mean(by_name[worse] - by_name[better])
            for better, worse in ((best, middle), (middle, worst))
        }


_RANKED: Final = ("jaccard", "likeness")
"""Measures of `RegionOverlap` by which methods are ranked."""


def ranks(scores: Tensor) -> Tensor:
    """Return the ranks of scores (methods, ...) over the methods, 1 for the highest, ties averaged, in float64."""
    return torch.from_numpy(rankdata(-scores.double().numpy(), method="average", axis=0)).double()
