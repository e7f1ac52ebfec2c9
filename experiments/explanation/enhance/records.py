"""Records of `evaluate.py enhance`: statistics of each map, and images to show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from experiments.explanation.enhance import names
from experiments.results.bootstrap import Interval, Resampling, Statistic, clopper_pearson, mean_of


@dataclass(frozen=True)
class RecoveryCurve:
    """The accuracy on images of which more and more pixels are perturbed.

    Attributes:
        shares: Shares of the pixels, ascending.
        accuracy: At each share.
        best: The highest accuracy; in each resample, that of the resample.
        best_share: Share with the highest accuracy, the smallest if several; None: no accuracy is above 0.
        area: The mean over all shares between the first and the last, by the trapezoidal rule.
    """

    shares: Sequence[float]
    accuracy: Sequence[Statistic]
    best: Statistic
    best_share: float | None
    area: Statistic


@dataclass(frozen=True)
class MapRecord:
    """The statistics of one method's maps; correlations are Spearman's with the clean image's map, None if undefined.

    Attributes:
        name: Name of the method, or of the oracle.
        oracle: Whether it uses the true class or the perturbation, which no method may know.
        recovered: Accuracy on the adversarial images, pixels taken in the order of their maps.
        refilled: The same with the other fill.
        clean: Accuracy on the clean images, pixels taken in the order of their own maps: the price.
        positive: Share of the pixels of an adversarial image where its map is above 0.
        attacked: Mean correlation of the adversarial image's map.
        noisy: Mean correlation of the map of the image under noise of the same norms.
        swapped: Mean correlation with the clean image's map for the adversarial image's predicted class.
        reaction: Correlation under noise minus that under the attack.
        beyond_class: Correlation for the class alone minus that under the attack.
        reactions: (n,) of the differences in `reaction`, NaN where a map is constant.
    """

    name: str
    oracle: bool
    recovered: RecoveryCurve
    refilled: RecoveryCurve
    clean: RecoveryCurve
    positive: Statistic | None = None
    attacked: Statistic | None = None
    noisy: Statistic | None = None
    swapped: Statistic | None = None
    reaction: Statistic | None = None
    beyond_class: Statistic | None = None
    reactions: Tensor = field(default_factory=lambda: torch.empty(0), repr=False)


@dataclass(frozen=True)
class AblationRecord:
    """A method, enhanced or not.

    Attributes:
        base: Name of the method.
        normalisation: How its maps are normalised; None: it is not enhanced. All are reduced by the l1 norm.
        recovered: Accuracy on the adversarial images.
        overlapping: How many values are above 0 both in the map of class and rival and in that of rival and class.
    """

    base: str
    normalisation: str | None
    recovered: RecoveryCurve
    overlapping: int = 0


@dataclass(frozen=True)
class MapPairs:
    """How far the maps of each pair differ, for one method and sample.

    Attributes:
        method: Name of the method.
        sample: Name of the sample.
        values: Value (p,) of each pair, by measure.
        by_group: Means (g,) over the pairs of each image, or of each disjoint pair of images, by measure.
        means: Means of these, by measure.
    """

    method: str
    sample: str
    values: Mapping[str, Tensor]
    by_group: Mapping[str, Tensor]
    means: Mapping[str, Statistic]


@dataclass(frozen=True)
class ClassPairs:
    """How far the maps of two classes differ (Figure 1).

    Attributes:
        source: Where the images with several classes come from.
        images: Their number.
        recognised: Share of them whose predicted class is one of theirs.
        chance: The same share for a guess.
        compared: Pairs of maps by method and sample.
        more_alike: Sim-Ratio of guided backpropagation between classes of one image, minus that between two images.
    """

    source: str
    images: int
    recognised: Statistic
    chance: float
    compared: Mapping[tuple[str, str], MapPairs]
    more_alike: Statistic


@dataclass(frozen=True)
class FooledImages:
    """The fooled images: classified right when clean, wrong when attacked.

    Attributes:
        attack: Name of the attack.
        images: Their number.
        right: Number of images that are classified right when clean.
        success: Share of these that the attack fools.
        channels: Channels of an image.
        shares: Shares of the pixels that are perturbed, ascending.
        fill: What replaces them.
        resampling: Draws of the fooled images.
    """

    attack: str
    images: int
    right: int
    success: Interval
    channels: int
    shares: Sequence[float]
    fill: names.Fill
    resampling: Resampling


@dataclass(frozen=True)
class EnhanceRecords(FooledImages):
    """All statistics of these images.

    Attributes:
        maps: Statistics of each method by name, the oracles last.
        ablations: Every base without and with each normalisation.
        pairs: None: there are no two images with several classes.
        rivals_true: Adversarial images whose true class is the enhanced map's rival.
        exchanged: How many of these have their class as their clean image's rival, so that the two are exchanged.
        noise_changes: Images whose predicted class the noise changes.
        repeated: Number of images whose maps were made twice, as a check of determinism.
        moved: Methods whose two maps differ.
    """

    maps: Mapping[str, MapRecord]
    ablations: Sequence[AblationRecord]
    pairs: ClassPairs | None
    rivals_true: int
    exchanged: int
    noise_changes: int
    repeated: int
    moved: Sequence[str]

    def share(self, count: int) -> Interval:
        """Return `count` as a share of the images."""
        return clopper_pearson(count / self.images, self.images)

    @property
    def ranked(self) -> list[MapRecord]:
        """All maps but the oracles, by the area, best first."""
        fair = [record for record in self.maps.values() if not record.oracle]
        return sorted(fair, key=lambda record: -record.recovered.area.value)

    @property
    def everything(self) -> list[MapRecord]:
        """The ranked maps, then the oracles."""
        return [*self.ranked, *(record for record in self.maps.values() if record.oracle)]

    @property
    def leads(self) -> dict[str, Statistic]:
        """The area of the enhanced map minus that of each other ranked map."""
        enhanced = self.maps[names.ENHANCED].recovered.area
        others = [record for record in self.ranked if record.name != names.ENHANCED]
        return {record.name: enhanced.minus(record.recovered.area) for record in others}

    @property
    def reactions(self) -> dict[str, Statistic]:
        """By how much more the enhanced map reacts to the attack than every other but random, on common images."""
        enhanced = self.maps[names.ENHANCED].reactions
        others = {m.name: m.reactions for m in self.ranked if m.name not in {names.ENHANCED, names.RANDOM}}
        apart = {name: mean_of(enhanced - reactions, self.resampling) for name, reactions in others.items()}
        return {name: statistic for name, statistic in apart.items() if statistic is not None}


@dataclass(frozen=True)
class ExampleImages:
    """Images to show, in one version.

    Attributes:
        images: (n, C, H, W).
        captions: The predicted class of each, with a number.
        wrong: Whether this class is not the true one.
        there: Whether the image has this version.
        maps: Maps (n, 1, H, W) by method, absolute values as a share of their largest.
    """

    images: Tensor
    captions: Sequence[str]
    wrong: Sequence[bool]
    there: Sequence[bool]
    maps: Mapping[str, Tensor]


@dataclass(frozen=True)
class Examples:
    """Images to show, in several versions.

    Attributes:
        classes: Names of the true classes.
        versions: The same images by version, the clean ones first.
        budgets: Epsilon of the attacks that have one, by name.
    """

    classes: Sequence[str]
    versions: Mapping[str, ExampleImages]
    budgets: Mapping[str, float]
