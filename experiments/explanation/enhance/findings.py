"""The paper's findings, each judged by a rule from the numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from experiments.explanation.enhance.classes import DIFFERENCE, RATIO, SAME, ClassPairs
from experiments.explanation.enhance.measured import Ablated, Measured
from experiments.explanation.enhance.methods import ENHANCED, PLAIN, RANDOM
from experiments.explanation.enhance.setting import FEWEST, Setting
from experiments.results.bootstrap import Statistic, mean_of
from experiments.results.verdicts import Verdict

ALIKE: Final = 0.9
"""Sim-Ratio from which two filtering effects are almost the same."""

APART: Final = 0.1
"""Avg-Diff from which the values of two maps differ."""

SIMILAR: Final = 0.7
"""Spearman correlation from which two maps are similar."""

NO_PAIRS: Final = "there are no two images with several classes, for which images of different classes are needed"


@dataclass(frozen=True)
class Judged:
    """A finding of the paper.

    Attributes:
        place: In the paper.
        text: What it says.
        rule: When it holds.
        verdict: Computed.
        numbers: What decided.
        images: How many it rests on, if not all that count.
    """

    place: str
    text: str
    rule: str
    verdict: Verdict
    numbers: str
    images: int | None = None


@dataclass(frozen=True)
class Found:
    """All that was measured.

    Attributes:
        setting: The images.
        measured: By name of the map, the oracles last.
        ablated: See `ablate`.
        pairs: See `class_pairs`; None: there are no two images with several classes.
        rivals_true: How many adversarial images have the true class, their clean image's, as the enhanced map's rival.
        exchanged: How many of these have their class as their clean image's rival, so that the two are exchanged.
    """

    setting: Setting
    measured: Mapping[str, Measured]
    ablated: Sequence[Ablated]
    pairs: ClassPairs | None
    rivals_true: int
    exchanged: int

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
    """Return the paper's findings with their verdicts; none is decided by fewer than `FEWEST` images."""
    judged = [*_figure_1(found.pairs), *_figure_3(found), *_figure_4(found), _normalisation(found)]
    return [_if_enough(each, len(found.setting)) for each in judged]


def _if_enough(judged: Judged, images: int) -> Judged:
    count = images if judged.images is None else min(images, judged.images)
    if count >= FEWEST:
        return judged
    return replace(judged, verdict="not decided", numbers=f"{few(count)}: {judged.numbers}")


def few(images: int) -> str:
    """Return why so many images decide nothing."""
    return f"a verdict needs at least {FEWEST} images, and here the number is {images}"


def built_in(found: Found) -> str:
    """Return how far the enhanced map has to react to an attack, whatever the network does."""
    images = len(found.setting)
    return (
        f"The enhanced map's reaction is built in where the attack exchanges the first two classes: on "
        f"{found.rivals_true / images:.0%} of {images} images the attacked one's runner-up is the clean one's class, "
        f"on {found.exchanged / images:.0%} also the reverse, so that one map is of (k, m) and the other of (m, k), "
        "which on one image share no value."
    )


def _figure_1(pairs: ClassPairs | None) -> list[Judged]:
    said = [
        (
            "Figure 1a",
            "Guided backpropagation's maps of two classes of an image have almost the same filtering effect.",
            f"mean Sim-Ratio at s > 0 is above {ALIKE}",
        ),
        ("Figure 1b", "They differ in their values.", f"mean Avg-Diff is above {APART}"),
        (
            "beside Figure 1a",
            "The common filtering effect is the image's, not the network's.",
            "Sim-Ratio of two classes of an image minus that of one class of two images is above 0",
        ),
    ]
    if pairs is None:
        return [Judged(*each, "not decided", NO_PAIRS) for each in said]
    of_classes, more = pairs.compared[PLAIN, SAME], pairs.more_alike
    ratio, difference = of_classes.means[RATIO], of_classes.means[DIFFERENCE]
    about = f"over {pairs.images} images ({pairs.source})"
    numbers = [
        f"{ratio.interval} {about}",
        f"{difference.interval}, up to {of_classes.values[DIFFERENCE].max():.3f}, {about}",
        f"{more.interval} over {more.n} pairs of images",
    ]
    verdicts = [above(ratio, ALIKE), above(difference, APART), above(more, 0.0)]
    return [
        Judged(*each, verdict, told, pairs.images) for each, verdict, told in zip(said, verdicts, numbers, strict=True)
    ]


def _figure_3(found: Found) -> list[Judged]:
    apart = reactions(found)
    others = {m.name: m for m in found.ranked if m.attacked is not None and m.name not in (ENHANCED, RANDOM)}
    steady = {name: m.attacked for name, m in others.items() if m.attacked is not None and _steady(m)}
    left_out = {name: m.noisy for name, m in others.items() if m.noisy is not None and not _steady(m)}
    return [
        Judged(
            "Figure 3",
            "Enhanced guided backpropagation reacts to attacks more strongly than all other methods.",
            "from noise of the same norms to the attack, its map's correlation with the clean image's falls further "
            "than every other method's but random's, paired by image",
            all_above(list(apart.values()), 0.0),
            f"{_listed('enhanced minus', apart)}. {built_in(found)}",
            min((each.n for each in apart.values()), default=None),
        ),
        Judged(
            "Figure 3",
            "All other methods make similar maps of clean and adversarial images.",
            f"every other method's mean Spearman correlation but random's is above {SIMILAR}; methods are left out "
            "whose correlation under noise of the same norms is not, for they differ whatever the attack does",
            all_above(list(steady.values()), SIMILAR),
            _listed("correlation of", steady) + (f"; {_listed('left out, under noise', left_out)}" if left_out else ""),
            min((each.n for each in steady.values()), default=None),
        ),
        _own_reaction(found.measured[ENHANCED].beyond_class),
    ]


def _steady(each: Measured) -> bool:
    """Whether a method's maps stay similar under noise; those of LIME with few samples do not."""
    return each.noisy is not None and each.noisy.value > SIMILAR


def _own_reaction(apart: Statistic | None) -> Judged:
    """Return whether the enhanced map answers to the attacked image, or to the class that it is asked for."""
    return Judged(
        "beside Figure 3",
        "Enhanced guided backpropagation reacts to the attack, not only to the class that it is asked for.",
        "its map's correlation with the clean image's is higher for the clean image under the adversarial class than "
        "for the adversarial image, paired by image",
        "not decided" if apart is None else above(apart, 0.0),
        "its maps are constant" if apart is None else f"class alone minus attack {apart.interval}",
        None if apart is None else apart.n,
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
