"""How alike maps of clean and of changed images are: mean similarities with their intervals, and rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from experiments.explanation.evidence import Named
from experiments.explanation.similarity import paper
from experiments.explanation.similarity.changes import Change, SimilaritySettings
from experiments.results.bootstrap import Interval, PlainStatistic, clopper_pearson

METRICS: Final[Mapping[str, str]] = {"spearman": "Spearman", "ssim": "mean SSIM", "hog": "HoG"}
"""The paper's three measures."""

OTHERS: Final[Mapping[str, str]] = {"ssim_range_2": "mean SSIM, range 2", "hog_features": "HoG features"}
"""Other readings of them."""

SUBSETS: Final = ("all", "fooled", "not fooled")

LITTLE: Final = 0.05
"""The largest standard deviation between the targets' means that counts as little variance."""


class Key(NamedTuple):
    """Names similarities by method, measure, change and one of `SUBSETS`."""

    method: str
    metric: str
    change: Change
    subset: str = "all"


@dataclass(frozen=True)
class MeanSimilarity:
    """The mean similarity of maps to those of the clean images.

    Attributes:
        mean: None: it is not defined.
        n: Similarities that are defined.
        undefined: Those that are not.
    """

    mean: PlainStatistic | None
    n: int
    undefined: int


@dataclass(frozen=True)
class MapsAgain:
    """Maps of the same images, made a second time after FGSM of epsilon 0.

    Attributes:
        difference: The largest difference between values of the first and the second maps.
        apart: The largest difference of a similarity of the two from 1.
    """

    difference: float
    apart: float


class Compared(NamedTuple):
    """The statistics of a claim, by name, and a description of them; None: the run has none."""

    about: str | None
    named: Named


@dataclass(frozen=True)
class Comparisons:
    """Paired comparisons for the paper's findings.

    Attributes:
        with_papers: Grad-CAM's similarities against those of the paper's other methods.
        with_all: The same against all methods but the random ones.
        falls: Similarities at the smallest epsilon minus those at the largest.
        little: How far the standard deviation between targets lies below the level.
        detects_best: The oracle's AUROC of Grad-CAM minus that of each other of the paper's methods.
    """

    with_papers: Compared
    with_all: Compared
    falls: Compared
    little: Compared
    detects_best: Compared


@dataclass(frozen=True)
class Setting:
    """Which maps are compared.

    Attributes:
        methods: Names of all methods, the paper's first.
        paper: Name of each of the paper's methods here, by the paper's name.
        random: Methods whose maps do not depend on the image.
        slow: Methods that are left out of the targeted attacks.
        again: The maps made twice, by method.
    """

    methods: Sequence[str]
    paper: Mapping[str, str]
    random: Sequence[str]
    slow: Sequence[str]
    classes: Sequence[str]
    settings: SimilaritySettings
    again: Mapping[str, MapsAgain]


@dataclass(frozen=True)
class SimilarityRecords(Setting):
    """The similarities of maps of the images.

    Attributes:
        fooled: Number of images whose predicted class a change changes.
        means: The mean similarities; absent where a method is left out of a change.
        aurocs: The oracle's AUROC by method, measure and epsilon; None: it is not defined.
        reached: Share of images that reach each target, of those not predicted as it before; then the mean over these.
        targets_reached: How many targets some image reaches.
    """

    count: int
    fooled: Mapping[Change, int]
    means: Mapping[Key, MeanSimilarity]
    aurocs: Mapping[tuple[str, str, float], PlainStatistic | None]
    reached: Sequence[PlainStatistic | None]
    targets_reached: int
    comparisons: Comparisons

    @property
    def targeted_methods(self) -> list[str]:
        """Those whose maps under targeted attacks were compared."""
        return [name for name in self.methods if self.known(name, self.settings.all_targets)]

    @property
    def contested(self) -> float:
        """The epsilon at which the share of fooled images is nearest to a half: both groups have images there."""
        return min(
            self.settings.epsilons,
            key=lambda epsilon: abs(self.fooled[Change("untargeted", epsilon)] / self.count - 0.5),
        )

    def known(self, method: str, change: Change) -> bool:
        """Whether a method's maps were compared after a change."""
        return Key(method, next(iter(METRICS)), change) in self.means

    def mean(self, method: str, metric: str, change: Change, subset: str = "all") -> PlainStatistic | None:
        """Return the mean similarity; None if there is no such similarity."""
        similarity = self.means.get(Key(method, metric, change, subset))
        return None if similarity is None else similarity.mean

    def success(self, change: Change) -> Interval:
        """Return the share of images whose predicted class differs after a change."""
        return clopper_pearson(self.fooled[change] / self.count, self.count)

    def undefined(self, method: str, metric: str) -> tuple[int, int]:
        """Return how many similarities of a method are not defined, and of how many."""
        of_method = [
            similarity
            for key, similarity in self.means.items()
            if (key.method, key.metric, key.subset) == (method, metric, "all")
            and key.change != self.settings.all_targets
        ]
        undefined = sum(similarity.undefined for similarity in of_method)
        return undefined, undefined + sum(similarity.n for similarity in of_method)

    def reported(self, method: str, metric: str, change: Change) -> float | None:
        """Return the paper's value of a similarity; None if it reports none."""
        name = next((theirs for theirs, ours in self.paper.items() if ours == method), "")
        return paper.reported(name, metric, change)


def rows_of(records: SimilarityRecords) -> list[dict[str, Any]]:
    """Return a row for each method, measure, change and subset; and for all targets together."""
    return [_row(records, key, similarity) for key, similarity in records.means.items()]


def _row(records: SimilarityRecords, key: Key, similarity: MeanSimilarity) -> dict[str, Any]:
    """Return a row; null where there is no such number."""
    method, metric, change, subset = key
    whole, over_targets = subset == "all", change == records.settings.all_targets
    size = change.epsilon if change.kind == "untargeted" and whole else None
    return {
        "method": method,
        "metric": metric,
        "version": change.kind,
        "epsilon": change.epsilon,
        "target": change.target,
        "subset": "all targets" if over_targets else subset,
        "n": similarity.n,
        "undefined": similarity.undefined,
        **_ends(similarity.mean, "mean", "low", "high"),
        "paper": records.reported(method, metric, change) if whole else None,
        **_ends(None if size is None else records.aurocs[method, metric, size], "auroc", "auroc_low", "auroc_high"),
    }


def _ends(ends: Interval | None, *names: str) -> dict[str, float | None]:
    return dict(zip(names, (None, None, None) if ends is None else (ends.value, ends.low, ends.high), strict=True))
