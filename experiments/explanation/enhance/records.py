"""Records of `evaluate.py enhance`: statistics of each map, and images to show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.explanation.enhance import names
from experiments.results.bootstrap import Interval, PlainStatistic, clopper_pearson


@dataclass(frozen=True)
class RecoveryCurve:
    """The accuracy on images with a growing share of perturbed pixels.

    Attributes:
        shares: Shares of the pixels, ascending.
        accuracy: At each share.
        best: The highest accuracy; in each resample, that of the resample.
        best_share: Share with the highest accuracy, the smallest if several; None: no accuracy is above 0.
        area: The mean over all shares between the first and the last, by the trapezoidal rule.
    """

    shares: Sequence[float]
    accuracy: Sequence[PlainStatistic]
    best: PlainStatistic
    best_share: float | None
    area: PlainStatistic


@dataclass(frozen=True)
class Leads:
    """By how much the enhanced map recovers more than another, paired by image.

    Attributes:
        refilled_area: The mean over the shares, with the other fill.
    """

    area: PlainStatistic
    best: PlainStatistic
    refilled_area: PlainStatistic


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
        leads: By how much the enhanced map is ahead of this one; None: it is the enhanced map.
    """

    name: str
    oracle: bool
    recovered: RecoveryCurve
    refilled: RecoveryCurve
    clean: RecoveryCurve
    positive: PlainStatistic | None = None
    attacked: PlainStatistic | None = None
    noisy: PlainStatistic | None = None
    swapped: PlainStatistic | None = None
    reaction: PlainStatistic | None = None
    beyond_class: PlainStatistic | None = None
    leads: Leads | None = None


@dataclass(frozen=True)
class AblationRecord:
    """A method, enhanced or not.

    Attributes:
        normalisation: How its maps are normalised; None: it is not enhanced. All are reduced by the l1 norm.
        recovered: Accuracy on the adversarial images.
        gain: The area minus that of the method when it is not enhanced; None: it is not.
        overlapping: How many values are above 0 both in the map of class and rival and in that of rival and class.
    """

    base: str
    normalisation: str | None
    recovered: RecoveryCurve
    gain: PlainStatistic | None
    overlapping: int


@dataclass(frozen=True)
class MapPairs:
    """How far the maps of each pair differ, for one method and sample.

    Attributes:
        values: Value of each pair, by measure.
        means: By measure, the mean over images, or over disjoint pairs of images, of each one's mean over its pairs.
    """

    method: str
    sample: str
    values: Mapping[str, Sequence[float]]
    means: Mapping[str, PlainStatistic]


@dataclass(frozen=True)
class ClassPairs:
    """How far the maps of two classes differ (Figure 1).

    Attributes:
        source: Where the images with several classes come from.
        recognised: Share of them whose predicted class is one of theirs.
        chance: The share that guessing gives.
        compared: Pairs of maps by method and sample.
        more_alike: Sim-Ratio of guided backpropagation between classes of one image, minus that between two images.
    """

    source: str
    images: int
    recognised: PlainStatistic
    chance: float
    compared: Mapping[tuple[str, str], MapPairs]
    more_alike: PlainStatistic


@dataclass(frozen=True)
class FooledImages:
    """The fooled images: classified right when clean, wrong when attacked.

    Attributes:
        right: Number of images that are classified right when clean.
        success: Share of these that the attack fools.
        shares: Shares of the pixels that are perturbed, ascending.
        fill: The values that replace them.
    """

    attack: str
    images: int
    right: int
    success: Interval
    channels: int
    shares: Sequence[float]
    fill: names.Fill


@dataclass(frozen=True)
class EnhanceRecords(FooledImages):
    """All statistics of these images.

    Attributes:
        maps: Estimates of each method by name, the oracles last.
        ablations: Every base without and with each normalisation.
        normalisations: The area of guided backpropagation, enhanced by the energy of each channel, minus that by each
            other normalisation.
        reactions: By how much more the enhanced map reacts to the attack than every other but random, on common images.
        leak: By how much more the enhanced map recovers if the true class is its rival.
        pairs: None: there are no two images with several classes.
        rivals_true: Adversarial images whose true class is the enhanced map's rival.
        exchanged: How many of these have their class as their clean image's rival, so that the two are exchanged.
        noise_changes: Images whose predicted class the noise changes.
        repeated: Number of images whose maps were made twice, as a check of determinism.
        moved: Methods whose two maps differ.
    """

    maps: Mapping[str, MapRecord]
    ablations: Sequence[AblationRecord]
    normalisations: Mapping[str, PlainStatistic]
    reactions: Mapping[str, PlainStatistic]
    leak: PlainStatistic
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
    def leads(self) -> dict[str, Leads]:
        """By how much the enhanced map is ahead of each other ranked map."""
        return {record.name: record.leads for record in self.ranked if record.leads is not None}
