"""The paper's findings with the verdicts that their numbers give, the answer in words, and the flags."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from experiments.explanation.enhance import names
from experiments.explanation.enhance.records import ClassPairs, EnhanceRecords, MapRecord
from experiments.results.bootstrap import Statistic
from experiments.results.result import Flag
from experiments.results.verdicts import FEWEST, Claim, Verdict, all_above, if_enough

ALIKE: Final = 0.9
"""Sim-Ratio from which two filtering effects are almost the same."""

APART: Final = 0.1
"""Avg-Diff from which the values of two maps differ."""

SIMILAR: Final = 0.7
"""Spearman correlation from which two maps are similar."""

NO_PAIRS: Final = "there are no two images with several classes, for which images of different classes are needed"


_MORE: Final = "the mean over the shares of its recovered accuracy minus that of {} is above 0, paired by image"

CLAIMS: Final[Mapping[str, tuple[str, str, str]]] = {
    "alike": (
        "Figure 1a",
        "Guided backpropagation's maps of two classes of an image have almost the same filtering effect.",
        f"mean Sim-Ratio at s > 0 is above {ALIKE}",
    ),
    "differ": ("Figure 1b", "They differ in their values.", f"mean Avg-Diff is above {APART}"),
    "image": (
        "beside Figure 1a",
        "The common filtering effect is the image's, not the network's.",
        "Sim-Ratio of two classes of an image minus that of one class of two images is above 0",
    ),
    "reacts": (
        "Figure 3",
        "Enhanced guided backpropagation reacts to attacks more strongly than all other methods.",
        "from noise of the same norms to the attack, its map's correlation with the clean image's falls further than "
        "every other method's but random's, paired by image",
    ),
    "similar": (
        "Figure 3",
        "All other methods make similar maps of clean and adversarial images.",
        f"every other method's mean Spearman correlation but random's is above {SIMILAR}; methods are left out whose "
        "correlation under noise of the same norms is not, for they differ whatever the attack does",
    ),
    "beyond": (
        "beside Figure 3",
        "Enhanced guided backpropagation reacts to the attack, not only to the class that it is asked for.",
        "its map's correlation with the clean image's is higher for the clean image under the adversarial class than "
        "for the adversarial image, paired by image",
    ),
    "most": (
        "Figure 4",
        "Perturbing pixels in the order of enhanced guided backpropagation recovers more than of all other maps.",
        _MORE.format("each other, random included,"),
    ),
    "more": (
        "Figure 4",
        "It recovers more than in the order of guided backpropagation.",
        _MORE.format("guided backpropagation"),
    ),
    "normalised": (
        "section 2.2",
        "Maps are best normalised by the energy of each channel on its own.",
        "with guided backpropagation it recovers more, by the mean over the shares, than with each other normalisation",
    ),
}
"""The findings by a short name: place in the paper, text, and when it holds."""


class _Evidence(NamedTuple):
    """Statistics that must lie above a level, also in words, and the images that they rest on; None: as they say."""

    statistics: Mapping[str, Statistic]
    numbers: str
    level: float = 0.0
    images: int | None = None


def judge(records: EnhanceRecords) -> dict[str, Claim]:
    """Return the findings by a short name; none is decided by fewer than `FEWEST` images."""
    evidence = _of_classes(records.pairs) | _of_reactions(records) | _of_recovery(records)
    return {name: _judged(name, evidence[name], records.images) for name in CLAIMS}


def _judged(name: str, evidence: _Evidence, images: int) -> Claim:
    place, text, _ = CLAIMS[name]
    statistics = evidence.statistics.values()
    verdict = all_above([statistic.interval for statistic in statistics], evidence.level)
    fewest = (statistic.n for statistic in statistics) if evidence.images is None else (evidence.images,)
    return if_enough(Claim(place, text, verdict, evidence.numbers), min([images, *fewest]))


def _of_classes(pairs: ClassPairs | None) -> dict[str, _Evidence]:
    if pairs is None:
        return dict.fromkeys(("alike", "differ", "image"), _Evidence({}, NO_PAIRS))
    same, more = pairs.compared[names.PLAIN, names.SAME], pairs.more_alike
    ratio, difference = same.means[names.RATIO], same.means[names.DIFFERENCE]
    about, most = f"over {pairs.images} images ({pairs.source})", same.values[names.DIFFERENCE].max()
    return {
        "alike": _Evidence({names.RATIO: ratio}, f"{ratio.interval} {about}", ALIKE, pairs.images),
        "differ": _Evidence(
            {names.DIFFERENCE: difference}, f"{difference.interval}, up to {most:.3f}, {about}", APART, pairs.images
        ),
        "image": _Evidence({names.RATIO: more}, f"{more.interval} over {more.n} pairs of images", images=pairs.images),
    }


def _of_reactions(records: EnhanceRecords) -> dict[str, _Evidence]:
    others = [record for record in records.ranked if record.name not in {names.ENHANCED, names.RANDOM}]
    steady = {record.name: record.attacked for record in others if record.attacked is not None and _steady(record)}
    left_out = {record.name: record.noisy for record in others if record.noisy is not None and not _steady(record)}
    ending = f"; {_listed('left out, under noise', left_out)}" if left_out else ""
    apart, beyond = records.reactions, records.maps[names.ENHANCED].beyond_class
    return {
        "reacts": _Evidence(apart, f"{_listed('enhanced minus', apart)}. {built_in(records)}"),
        "similar": _Evidence(steady, _listed("correlation of", steady) + ending, SIMILAR),
        "beyond": _Evidence({}, "its maps are constant")
        if beyond is None
        else _Evidence({names.ENHANCED: beyond}, f"class alone minus attack {beyond.interval}"),
    }


def _steady(record: MapRecord) -> bool:
    """Whether a method's maps stay similar under noise; those of LIME with few samples do not."""
    return record.noisy is not None and record.noisy.value > SIMILAR


def _of_recovery(records: EnhanceRecords) -> dict[str, _Evidence]:
    leads, coloured = records.leads, records.channels > 1
    areas = {record.normalisation: record.recovered.area for record in records.ablations if record.base == names.PLAIN}
    apart = {name: areas["channel_energy"].minus(areas[name]) for name in ("maximum", "energy")}
    grey = "" if coloured else "; with one channel the two energies are the same"
    return {
        "most": _Evidence(leads, _listed("enhanced minus", leads)),
        "more": _Evidence({names.PLAIN: leads[names.PLAIN]}, str(leads[names.PLAIN].interval)),
        "normalised": _Evidence(apart if coloured else {}, _listed("channel_energy minus", apart) + grey),
    }


def _listed(about: str, statistics: Mapping[str, Statistic]) -> str:
    return f"{about} " + ", ".join(f"{name} {statistic.interval}" for name, statistic in statistics.items())


def built_in(records: EnhanceRecords) -> str:
    """Return how far the enhanced map has to react to an attack, whatever the network does."""
    return (
        f"The enhanced map's reaction is built in where the attack exchanges the first two classes: on "
        f"{records.rivals_true / records.images:.0%} of {records.images} images the attacked one's runner-up is the "
        f"clean one's class, on {records.exchanged / records.images:.0%} also the reverse, so that one map is of "
        "(k, m) and the other of (m, k), which on one image share no value."
    )


def answer(records: EnhanceRecords, findings: Mapping[str, Claim]) -> str:
    """Return the answer in words.

    Args:
        records: What was measured.
        findings: See `judge`.
    """
    verdicts = {name: finding.verdict for name, finding in findings.items()}
    few = f"{records.images} images are too few to decide, it takes {FEWEST}. " if records.images < FEWEST else ""
    sentences = _on_recovery(records, verdicts), _on_secrets(records), _on_reaction(records, verdicts)
    return few + " ".join([*sentences, _on_classes(records)])


def said(verdict: Verdict) -> str:
    """Return a verdict as the end of a sentence."""
    return "is not decided" if verdict == "not decided" else verdict


def _on_recovery(records: EnhanceRecords, verdicts: Mapping[str, Verdict]) -> str:
    enhanced, chance = records.maps[names.ENHANCED], records.maps[names.RANDOM]
    ranked = [record.name for record in records.ranked]
    beside = dict.fromkeys([name for name in (ranked[0], names.PLAIN, names.RANDOM) if name != names.ENHANCED])
    others = ", ".join(f"{name} {records.maps[name].recovered.area.interval}" for name in beside)
    at_share = "" if enhanced.recovered.best_share is None else f", at {enhanced.recovered.best_share:.0%}"
    return (
        f"That enhanced guided backprop recovers more than all others {said(verdicts['most'])}: on {records.images} "
        f"images that {records.attack} fools, replacing pixels in its order by {names.FILLS[records.fill]} brings back "
        f"{enhanced.recovered.area.interval} of the true classes on average over shares from {records.shares[0]:.0%} "
        f"to {records.shares[-1]:.0%} (at best {enhanced.recovered.best.interval}{at_share}), place "
        f"{ranked.index(names.ENHANCED) + 1} of {len(ranked)}; beside it {others}; clean images keep "
        f"{enhanced.clean.area.interval} of their accuracy in its order, {chance.clean.area.interval} in random order."
    )


def _on_secrets(records: EnhanceRecords) -> str:
    shown = names.LABEL_LEAK, names.ENHANCED, names.PERTURBATION
    leak, enhanced, changed = (records.maps[name].recovered.area for name in shown)
    return (
        f"Its rival, the runner-up, is the true class on {records.rivals_true} of {records.images} images; with the "
        f"true class as rival, which leaks the label, it recovers {leak.interval}, {leak.minus(enhanced).interval} "
        f"more; the order of the perturbation itself recovers {changed.interval}."
    )


def _on_reaction(records: EnhanceRecords, verdicts: Mapping[str, Verdict]) -> str:
    enhanced = records.maps[names.ENHANCED]
    numbers = "its maps are constant"
    if enhanced.attacked is not None and enhanced.swapped is not None and enhanced.noisy is not None:
        numbers = (
            f"the Spearman correlation with the clean image's map is {enhanced.attacked.interval} under the attack, "
            f"{enhanced.swapped.interval} on the clean image itself when asked for the adversarial class, and "
            f"{enhanced.noisy.interval} under noise of the same norms"
        )
    partly = ", partly by construction" if verdicts["reacts"] == "holds" and records.rivals_true else ""
    return (
        f"That it reacts to the attack more strongly than all others {said(verdicts['reacts'])}{partly} ({numbers}), "
        f"and that it reacts to more than the class it is asked for {said(verdicts['beyond'])}. {built_in(records)} "
        f"That all others make similar maps {said(verdicts['similar'])}."
    )


def _on_classes(records: EnhanceRecords) -> str:
    if records.pairs is None:
        return f"Maps of two classes of one image are not compared: {NO_PAIRS}."
    means = records.pairs.compared[names.PLAIN, names.SAME].means
    return (
        f"Guided backprop's maps of two classes of one image agree in {means[names.RATIO].interval} of the values at "
        f"s > 0 and differ in their averages by {means[names.DIFFERENCE].interval} ({records.pairs.images} images)."
    )


SUCCESS: Final = 0.9
"""Share of the images right before that the attack must fool, so that those that count are no odd choice."""


def flags_of(records: EnhanceRecords) -> list[Flag]:
    """Return the checks."""
    best = records.ranked[0]
    chance, enhanced = (records.maps[name].recovered.area.interval for name in (names.RANDOM, names.ENHANCED))
    shared = sum(ablation.overlapping for ablation in records.ablations)
    equal = f"differ for {', '.join(records.moved)}" if records.moved else "are the same for every method"
    return [
        Flag(
            "The attack succeeds",
            records.success.value < SUCCESS,
            f"{records.attack} fools {records.images} of {records.right} images that are classified right, "
            f"{records.success}; at least {SUCCESS} is wanted.",
        ),
        Flag(
            "Enhanced maps of a class and its rival share no value",
            shared > 0,
            f"Over all methods and normalisations {shared} values of the adversarial images' maps are above 0 in both.",
        ),
        Flag("Maps are deterministic", bool(records.moved), f"Maps of {records.repeated} images made twice {equal}."),
        Flag(
            "Random is not best",
            best.name == names.RANDOM,
            f"Random pixels recover {chance} on average over the shares, the best map ({best.name}) "
            f"{best.recovered.area.interval}, enhanced guided backprop {enhanced}.",
        ),
        _recognised(records),
    ]


def _recognised(records: EnhanceRecords) -> Flag:
    pairs, name = records.pairs, "The classifier knows the images with several classes"
    if pairs is None:
        return Flag(name, None, f"{NO_PAIRS}.")
    return Flag(
        name,
        None if pairs.chance >= 1 else all_above([pairs.recognised.interval], pairs.chance) != "holds",
        f"It names one of an image's classes on {pairs.recognised.interval} of {pairs.images} ({pairs.source}); "
        f"guessing gives {pairs.chance:.3f}.",
    )
