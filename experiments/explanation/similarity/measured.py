"""Maps of every version under every method, and how alike they are to those of the clean images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from attacks import FGSM
from experiments.explanation.similarity.versions import ANOTHER, CLEAN, FRESH, SECOND_SEED, Plan, Version, images_of
from experiments.explanation.subject import Explained
from experiments.results.grids import chosen
from experiments.study.batches import BATCH
from saliency import LIME
from saliency.maps.reduction import reduce
from saliency.similarity import hog, pearson, ranks, ssim

METRICS: Final[Mapping[str, str]] = {"spearman": "Spearman", "ssim": "mean SSIM", "hog": "HoG"}
"""The paper's three measures."""

OTHERS: Final[Mapping[str, str]] = {"ssim_range_2": "mean SSIM, range 2", "hog_features": "HoG features"}
"""Other readings of them."""

SHOWN: Final = 3
"""Images in the pictures."""

Likeness = Mapping[str, Tensor]
"""(n,) by measure; NaN where it is not defined."""


@dataclass(frozen=True)
class Described:
    """What is compared of some maps (n, 1, H, W), computed once.

    Attributes:
        maps: As they are.
        ranks: (n, H * W) of their values.
        pictures: Of their histograms of gradients.
        features: These histograms.
    """

    maps: Tensor
    ranks: Tensor
    pictures: Tensor
    features: Tensor

    @classmethod
    def of(cls, maps: Tensor) -> "Described":
        """Describe maps."""
        return cls(maps, ranks(maps).float(), hog(maps).float(), hog(maps, "features").float())

    def rolled(self) -> "Described":
        """Return what describes each image's neighbour."""
        parts = (self.maps, self.ranks, self.pictures, self.features)
        return Described(*(each.roll(1, 0) for each in parts))

    def first(self, count: int) -> "Described":
        """Return what describes the first maps."""
        parts = (self.maps, self.ranks, self.pictures, self.features)
        return Described(*(each[:count] for each in parts))


def likeness(one: Described, other: Described) -> Likeness:
    """Return how alike paired maps are by every measure."""
    return {
        "spearman": pearson(one.ranks, other.ranks),
        "ssim": ssim(one.maps, other.maps),
        "hog": pearson(one.pictures, other.pictures),
        "ssim_range_2": ssim(one.maps, other.maps, 2.0),
        "hog_features": pearson(one.features, other.features),
    }


@dataclass(frozen=True)
class Unmoved:
    """What a method gives for the same images a second time, as FGSM of epsilon 0 leaves them.

    Attributes:
        difference: The largest between values of the maps.
        likeness: With the first maps.
    """

    difference: float
    likeness: Likeness


@dataclass(frozen=True)
class Measured:
    """What the tables and pictures are made of.

    Attributes:
        explained: Classifier, images and methods.
        plan: Which versions were made.
        alike: By method and version; not of a method that is left out of a version.
        predictions: (n,) by version.
        unmoved: By method.
        rows: (s,) of the images shown.
        shown: Their maps (s, 1, H, W) by method and version, of the clean and the untargeted ones.
        pictures: Their images (s, C, H, W) by version.
    """

    explained: Explained
    plan: Plan
    alike: Mapping[tuple[str, Version], Likeness]
    predictions: Mapping[Version, Tensor]
    unmoved: Mapping[str, Unmoved]
    rows: Tensor
    shown: Mapping[tuple[str, Version], Tensor]
    pictures: Mapping[Version, Tensor]

    def fooled(self, version: Version) -> Tensor:
        """Return (n,) bool: whether a version is predicted as another class than the clean image."""
        return self.predictions[version] != self.explained.predictions

    def targeted(self, method: str) -> bool:
        """Whether a method's maps under the targeted attacks were compared."""
        return any(name == method and version.kind == "targeted" for name, version in self.alike)


def measure(explained: Explained, plan: Plan) -> Measured:
    """Return the likeness of maps; each map is made once, and of the class predicted for its own version.

    Args:
        explained: Classifier, images and methods.
        plan: Which versions.
    """
    images = {version: images_of(version, explained) for version in (CLEAN, *plan.versions())}
    predictions = {
        version: explained.predict(each, f"predictions, {version}").argmax(1) for version, each in images.items()
    }
    untargeted = [version for version in images if version.kind in ("clean", "untargeted")]
    fooled = torch.stack([predictions[version] != explained.predictions for version in untargeted]).any(0)
    rows = chosen(explained.labels, explained.predictions, fooled, SHOWN)
    alike: dict[tuple[str, Version], Likeness] = {}
    shown: dict[tuple[str, Version], Tensor] = {}
    unmoved = {}
    progress = explained.study.progress
    for name in progress.track(list(explained.methods), description="saliency methods"):
        clean = Described.of(maps_of(explained, plan, name, CLEAN, images[CLEAN], predictions[CLEAN]))
        unmoved[name] = _unmoved(explained, plan, name, clean)
        shown[name, CLEAN] = clean.maps[rows]
        if len(clean.maps) > 1:
            alike[name, ANOTHER] = likeness(clean, clean.rolled())
        for version in plan.versions():
            if version.kind == "targeted" and left_out(explained, name):
                continue
            maps = maps_of(explained, plan, name, version, images[version], predictions[version])
            alike[name, version] = likeness(clean, Described.of(maps))
            if version in untargeted:
                shown[name, version] = maps[rows]
    pictures = {version: images[version][rows] for version in untargeted}
    return Measured(explained, plan, alike, predictions, unmoved, rows, shown, pictures)


def left_out(explained: Explained, name: str) -> bool:
    """Whether a method is too slow for the targeted attacks: LIME, unless methods were given."""
    return explained.study.options.get("methods") is None and isinstance(explained.methods[name], LIME)


def maps_of(
    explained: Explained, plan: Plan, name: str, version: Version, images: Tensor, predictions: Tensor
) -> Tensor:
    """Return a method's maps of a version, of one channel, (n, 1, H, W)."""
    seed = FRESH if version == SECOND_SEED else None
    found = explained.attributions(name, images, predictions, str(version), seed=seed)
    return found if found.shape[1] == 1 else reduce(found, plan.reduction)


def _unmoved(explained: Explained, plan: Plan, name: str, clean: Described) -> Unmoved:
    """Compare the first batch of maps with those made again."""
    before = explained.predictions[:BATCH]
    again = explained.attacked(FGSM(epsilon=0.0), explained.images[:BATCH], before, about="epsilon 0")
    maps = maps_of(explained, plan, name, CLEAN, again, before)
    first = clean.first(BATCH)
    return Unmoved((maps - first.maps).abs().max().item(), likeness(first, Described.of(maps)))
