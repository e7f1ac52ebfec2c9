"""The paper's findings, each judged by a rule from the numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from experiments.claims import Verdict
from experiments.enhance.ablation import Ablated
from experiments.enhance.classes import DIFFERENCE, RATIO, SAME, ClassPairs
from experiments.enhance.measured import Measured
from experiments.enhance.setting import ENHANCED, PLAIN, RANDOM, Setting
from experiments.enhance.statistics import Statistic, mean_of

ALIKE: Final = 0.9
"""Sim-Ratio from which two filtering effects are almost the same."""

APART: Final = 0.1
"""Avg-Diff from which the values of two maps differ."""

SIMILAR: Final = 0.7
"""Spearman correlation from which two maps are similar."""


@dataclass(frozen=True)
class Judged:
    """A finding of the paper.

    Attributes:
        place: In the paper.
        text: What it says.
        rule: When it holds.
        verdict: Computed.
        numbers: What decided.
    """

    place: str
    text: str
    rule: str
    verdict: Verdict
    numbers: str


@dataclass(frozen=True)
class Found:
    """All that was measured.

    Attributes:
        setting: The images.
        measured: By name of the map, the oracles last.
        ablated: See `ablate`.
        pairs: See `class_pairs`.
        rivals_true: How many images have the true class as the enhanced map's rival.
    """

    setting: Setting
    measured: Mapping[str, Measured]
    ablated: Sequence[Ablated]
    pairs: ClassPairs
    rivals_true: int

    @property
    def ranked(self) -> list[Measured]:
        """Those that know no secret, by the area, best first."""
        return sorted((m for m in self.measured.values() if not m.oracle), key=lambda m: -m.recovered.area.value)


def above(statistic: Statistic, level: float) -> Verdict:
    """Return whether a statistic is above a level: its interval lies above, below, or across it."""
    ends = statistic.interval
    return "holds" if ends.low > level else "does not hold" if ends.high < level else "not decided"


def all_above(statistics: Sequence[Statistic], level: float) -> Verdict:
    """Return whether all statistics are above a level; one that is surely below suffices for "does not hold"."""
    verdicts = {above(each, level) for each in statistics}
    if not verdicts:
        return "not decided"
    return "does not hold" if "does not hold" in verdicts else "holds" if verdicts == {"holds"} else "not decided"


def leads(found: Found) -> dict[str, Statistic]:
    """Return by how much the area of the enhanced map is above that of every other ranked one."""
    own = found.measured[ENHANCED].recovered.area
    return {each.name: own.minus(each.recovered.area) for each in found.ranked if each.name != ENHANCED}


def reactions(found: Found) -> dict[str, Statistic]:
    """Return by how much more the enhanced map reacts to the attack than every other but random, on common images."""
    own = found.measured[ENHANCED].reactions
    pairs = {m.name: mean_of(own - m.reactions, found.setting.resampling) for m in found.ranked}
    return {name: each for name, each in pairs.items() if each is not None and name not in (ENHANCED, RANDOM)}


def judge(found: Found) -> list[Judged]:
    """Return the paper's findings with their verdicts."""
    return [*_figure_1(found), *_figure_3(found), *_figure_4(found), _normalisation(found)]


def _figure_1(found: Found) -> list[Judged]:
    of_classes = found.pairs.compared[PLAIN, SAME]
    ratio, difference, more = of_classes.means[RATIO], of_classes.means[DIFFERENCE], found.pairs.more_alike
    about = f"over {found.pairs.images} images ({found.pairs.source})"
    return [
        Judged(
            "Figure 1a",
            "Guided backpropagation's maps of two classes of an image have almost the same filtering effect.",
            f"mean Sim-Ratio at s > 0 is above {ALIKE}",
            above(ratio, ALIKE),
            f"{ratio.interval} {about}",
        ),
        Judged(
            "Figure 1b",
            "They differ in their values.",
            f"mean Avg-Diff is above {APART}",
            above(difference, APART),
            f"{difference.interval}, up to {of_classes.values[DIFFERENCE].max():.3f}, {about}",
        ),
        Judged(
            "beside Figure 1a",
            "The common filtering effect is the image's, not the network's.",
            "Sim-Ratio of two classes of an image minus that of one class of two images is above 0",
            above(more, 0.0),
            f"{more.interval} over {more.n} pairs of images",
        ),
    ]


def _figure_3(found: Found) -> list[Judged]:
    apart = reactions(found)
    others = {m.name: m.attacked for m in found.ranked if m.attacked is not None and m.name not in (ENHANCED, RANDOM)}
    return [
        Judged(
            "Figure 3",
            "Enhanced guided backpropagation reacts to attacks more strongly than all other methods.",
            "from noise of the same norms to the attack, its map's correlation with the clean image's falls further "
            "than every other method's but random's, paired by image",
            all_above(list(apart.values()), 0.0),
            _listed("enhanced minus", apart),
        ),
        Judged(
            "Figure 3",
            "All other methods make similar maps of clean and adversarial images.",
            f"every other method's mean Spearman correlation but random's is above {SIMILAR}",
            all_above(list(others.values()), SIMILAR),
            _listed("correlation of", others),
        ),
        _own_reaction(found.measured[ENHANCED]),
    ]


def _own_reaction(own: Measured) -> Judged:
    """Return whether the enhanced map answers to the attacked image, or to the class that it is asked for."""
    apart = None if own.swapped is None or own.attacked is None else own.swapped.minus(own.attacked)
    return Judged(
        "beside Figure 3",
        "Enhanced guided backpropagation reacts to the attack, not only to the class that it is asked for.",
        "its map's correlation with the clean image's is higher for the clean image under the adversarial class than "
        "for the adversarial image, paired by image",
        "not decided" if apart is None else above(apart, 0.0),
        "its maps are constant" if apart is None else f"class alone minus attack {apart.interval}",
    )


def _figure_4(found: Found) -> list[Judged]:
    apart = leads(found)
    rule = "the mean over the shares of its recovered accuracy minus that of {} is above 0, paired by image"
    return [
        Judged(
            "Figure 4",
            "Perturbing pixels in the order of enhanced guided backpropagation recovers more than of all other maps.",
            rule.format("each other, random included,"),
            all_above(list(apart.values()), 0.0),
            _listed("enhanced minus", apart),
        ),
        Judged(
            "Figure 4",
            "It recovers more than in the order of guided backpropagation.",
            rule.format("guided backpropagation"),
            above(apart[PLAIN], 0.0),
            str(apart[PLAIN].interval),
        ),
    ]


def _normalisation(found: Found) -> Judged:
    areas = {a.normalisation: a.recovered.area for a in found.ablated if a.base == PLAIN}
    apart = {name: areas["channel_energy"].minus(areas[name]) for name in ("maximum", "energy")}
    return Judged(
        "section 2.2",
        "Maps are best normalised by the energy of each channel on its own.",
        "with guided backpropagation it recovers more, by the mean over the shares, than with each other normalisation",
        all_above(list(apart.values()), 0.0) if found.setting.clean.images.shape[1] > 1 else "not decided",
        _listed("channel_energy minus", apart)
        + ("" if found.setting.clean.images.shape[1] > 1 else "; with one channel the two energies are the same"),
    )


def _listed(about: str, statistics: Mapping[str, Statistic]) -> str:
    return f"{about} " + ", ".join(f"{name} {each.interval}" for name, each in statistics.items())
