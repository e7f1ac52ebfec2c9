"""Records of `evaluate.py recover`: the attacks, and how far each method's explanations overlap their regions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import torch
from scipy.stats import rankdata
from torch import Tensor

from experiments.explanation.evidence import mean_of_all
from experiments.results.bootstrap import Resampling, Statistic

UNIONS: Final = 20
"""Number of the paper's partial unions: of the 1, 2, ... 20 best superpixels."""

PERTURBATION: Final = "perturbation"
"""Name of the positive control: the change itself, which is zero outside of the region."""

RANDOM: Final = "random"
LEARNT: Final = "learnt"
LIME_NAME: Final = "lime"

THREE: Final = ("gradient", "guided_backprop", LIME_NAME)
"""The paper's methods: classic saliency, guided backpropagation, LIME."""


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
class RecoverRecords:
    """All methods on all adversarial images. All intervals use the same resamples of photographs and are paired.

    Attributes:
        attempts: The attacks.
        resamples: Number of bootstrap resamples.
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

    @property
    def explanations(self) -> int:
        """The number M of adversarial images."""
        return len(self.attempts.adversarial)

    def size_share(self, unions: slice | int = slice(None)) -> float:
        """Return the mean size of explanations as a share of an image, over the unions at an index."""
        return (self.sizes[:, unions].double().mean() / self.attempts.regions[0].numel()).item()

    @cached_property
    def photographs(self) -> int:
        """The number of photographs with a successful attack."""
        return len(torch.unique(self.attempts.sources))

    @cached_property
    def _resampling(self) -> Resampling:
        _, groups = torch.unique(self.attempts.sources, return_inverse=True)
        return Resampling(self.photographs, self.resamples, groups=groups)

    def mean(self, values: Tensor) -> Statistic:
        """Return the mean of values (M,) or (M, n), all of them known; n counts photographs.

        A photograph is drawn with all its regions.
        """
        rows = values.double().flatten(1).mean(1) if values.ndim > 1 else values.double()
        return replace(mean_of_all(rows, self._resampling), n=self.photographs)

    @cached_property
    def success(self) -> Statistic:
        """The share of the attacks that succeeded; a photograph is drawn with all attacks on it."""
        photographs, groups = torch.unique(self.attempts.image, return_inverse=True)
        drawn = Resampling(len(photographs), self.resamples, groups=groups)
        return replace(mean_of_all(self.attempts.succeeded, drawn), n=len(photographs))

    def difference(self, name: str, other: str = RANDOM, measure: str = "jaccard") -> Statistic:
        """Return by how much one method is ahead of another in a measure, an attribute of `RegionOverlap`."""
        return self.mean(getattr(self.methods[name], measure) - getattr(self.methods[other], measure))

    def behind_lime(self, name: str) -> Statistic:
        """Return LIME's lead (Jaccard) over a method whose map is averaged over LIME's superpixels."""
        return self.mean(self.methods[LIME_NAME].jaccard - self.pooled[name].jaccard)

    @cached_property
    def maps(self) -> list[str]:
        """The names of the methods that are no controls."""
        return [name for name in self.methods if name not in {PERTURBATION, RANDOM}]

    @cached_property
    def three(self) -> list[str]:
        """The names of the paper's methods; absent ones are omitted."""
        return [name for name in THREE if name in self.methods]

    @cached_property
    def ranks_of_three(self) -> dict[str, dict[str, Tensor]]:
        """Ranks (M, 20) of the paper's methods among themselves, by measure and name."""
        return self._ranks(self.three)

    @cached_property
    def ranks_of_all(self) -> dict[str, dict[str, Tensor]]:
        """Ranks (M, 20) of all methods and random noise, by measure and name; not of the positive control."""
        return self._ranks([*self.maps, RANDOM])

    def _ranks(self, names: Sequence[str]) -> dict[str, dict[str, Tensor]]:
        return {
            measure: dict(
                zip(names, ranks(torch.stack([getattr(self.methods[name], measure) for name in names])), strict=True)
            )
            for measure in ("jaccard", "likeness")
        }


def ranks(scores: Tensor) -> Tensor:
    """Return the ranks of scores (methods, ...) over the methods, 1 for the highest, ties averaged, in float64."""
    return torch.from_numpy(rankdata(-scores.double().numpy(), method="average", axis=0)).double()
