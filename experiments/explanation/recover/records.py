"""Records of `evaluate.py recover`: the attacks, and how far each method's explanations overlap their regions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from experiments.results.bootstrap import PlainStatistic

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
class AttackCounts:
    """The attacks that were tried, and their success.

    Attributes:
        tried: Number of attacks on each image.
        won: How many of these succeeded.
        left_out: Whether an image was already predicted as the target, and so not attacked.
        escaped: How many attacks changed a pixel outside of their region: none, unless something is wrong.
        tried_share: Mean share of an image that the regions of all attacks cover.
        won_share: Mean share that the regions of successful attacks cover.
        success: Share of the attacks that succeeded; n counts images.
    """

    tried: Sequence[int]
    won: Sequence[int]
    left_out: Sequence[bool]
    escaped: int
    tried_share: float
    won_share: float
    success: PlainStatistic


Means = Mapping[str, PlainStatistic | None]
"""Means over adversarial images, by their names in the JSON file; n counts photographs. None: not defined."""


@dataclass(frozen=True)
class OverlapRow:
    """How far a method's explanations overlap the attacked regions.

    Attributes:
        union: The explanation is as large as the union of so many superpixels; None: the mean over all unions.
        size_share: Mean size of the explanations, as a share of an image.
    """

    method: str
    union: int | None
    size_share: float
    means: Means


@dataclass(frozen=True)
class PooledRow:
    """The Jaccard index of a map that is averaged over LIME's superpixels, and differences from it.

    Attributes:
        jaccard: Mean over all unions.
        minus_plain: This minus that of the same map, not averaged.
        minus_random: This minus that of averaged noise; None: it is that noise.
        behind_lime: LIME's minus this.
    """

    jaccard: PlainStatistic
    minus_plain: PlainStatistic
    minus_random: PlainStatistic | None
    behind_lime: PlainStatistic


@dataclass(frozen=True)
class RecoverRecords:
    """All methods on all adversarial images. All intervals use the same resamples of photographs and are paired.

    Attributes:
        photographs: Number of photographs with a successful attack.
        rows: The overlap of each method over all unions, then for each union; the two controls come last.
        largest: The largest Jaccard index of the unions, mean over adversarial images, by method.
        pooled: Maps averaged over LIME's superpixels, by method and without LIME.
        ahead_of_lime: The Jaccard index of each other map minus LIME's.
        rank_leads: The lead of each of the paper's methods over the next, in mean ranks; empty if one is missing.
        example: One adversarial image's overlap at each union, by method and measure.
        superpixels: Number of LIME's superpixels in each adversarial image.
        positive: How many of these have a positive weight.
    """

    attacks: AttackCounts
    explanations: int
    photographs: int
    rows: Sequence[OverlapRow]
    largest: Mapping[str, PlainStatistic]
    pooled: Mapping[str, PooledRow]
    ahead_of_lime: Mapping[str, PlainStatistic]
    rank_leads: Mapping[str, PlainStatistic]
    example: Mapping[str, Mapping[str, Sequence[float]]]
    superpixels: Sequence[int]
    positive: Sequence[int]

    @property
    def methods(self) -> dict[str, Any]:
        """The means over all unions, by method."""
        return {row.method: row.means for row in self.rows if row.union is None}

    @property
    def maps(self) -> list[str]:
        """The names of the methods that are no controls."""
        return [name for name in self.methods if name not in {PERTURBATION, RANDOM}]

    @property
    def three(self) -> list[str]:
        """The names of the paper's methods; absent ones are omitted."""
        return [name for name in THREE if name in self.methods]

    def of_union(self, method: str, measure: str) -> list[Any]:
        """Return a method's means at each union."""
        return [row.means[measure] for row in self.rows if row.method == method and row.union is not None]


def rows_of(records: RecoverRecords) -> list[dict[str, Any]]:
    """Return the rows as they are written to JSON."""
    return [
        {
            "method": row.method,
            "union": row.union,
            "explanations": records.explanations * (UNIONS if row.union is None else 1),
            "adversarial_images": records.explanations,
            "photographs": records.photographs,
            "size_share": row.size_share,
            **{
                name + ending: mean and getattr(mean, end)
                for name, mean in row.means.items()
                for ending, end in (("", "value"), ("_low", "low"), ("_high", "high"))
            },
        }
        for row in records.rows
    ]
