"""The paper's findings with their verdicts, and the sentences of the finding."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from experiments.explanation.enhance import names
from experiments.explanation.enhance.records import ClassPairs, EnhanceRecords, MapRecord
from experiments.explanation.evidence import Named, few_images, in_words, judged, shown
from experiments.results.bootstrap import PlainStatistic
from experiments.results.verdicts import Claim

ALIKE: Final = 0.9
"""Sim-Ratio above which two maps pass almost the same values."""

APART: Final = 0.1
"""Avg-Diff above which the values of two maps differ."""

SIMILAR: Final = 0.7
"""Spearman correlation above which two maps are similar."""

NO_PAIRS: Final = "all images have the same class, so no two images with several classes can be made"


_MORE: Final = "the mean over the shares of its recovered accuracy minus that of {} is above 0, paired by image"

CLAIMS: Final[Mapping[str, tuple[str, str, str]]] = {
    "alike": (
        "Figure 1a",
        "Guided backpropagation's maps of two classes of an image have almost the same filtering effect.",
        f"mean Sim-Ratio at s > 0 is above {ALIKE}",
    ),
    "differ": (
        "Figure 1b",
        "Guided backpropagation's maps of two classes of an image differ in their values.",
        f"mean Avg-Diff is above {APART}",
    ),
    "image": (
        "beside Figure 1a",
        "The common filtering effect is the image's, not the network's.",
        "Sim-Ratio of two classes of an image minus that of one class of two images is above 0",
    ),
    "reacts": (
        "Figure 3",
        "Enhanced guided backpropagation reacts to attacks more strongly than all other methods.",
        "its map's correlation with the clean image's falls further from noise of the same norms to the attack than "
        "every other method's (random left out), paired by image",
    ),
    "similar": (
        "Figure 3",
        "All other methods make similar maps of clean and adversarial images.",
        f"every other method's mean Spearman correlation is above {SIMILAR}; left out are random and the methods whose "
        "correlation is lower under noise of the same norms already",
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
        "Perturbing pixels in the order of enhanced guided backpropagation recovers more than in the plain one's.",
        _MORE.format("guided backpropagation"),
    ),
    "normalised": (
        "section 2.2",
        "Maps are best normalised by the energy of each channel on its own.",
        "with guided backpropagation it recovers more, by the mean over the shares, than with each other normalisation",
    ),
}
"""The findings by a short name: place in the paper, text, and when it holds."""


class _Statistics(NamedTuple):
    """Statistics that must lie above a level, also in words."""

    statistics: Named
    numbers: str
    level: float = 0.0


def judge(records: EnhanceRecords) -> dict[str, Claim]:
    """Return the findings by a short name."""
    evidence = _of_classes(records.pairs) | _of_reactions(records) | _of_recovery(records)
    return {
        name: judged(place, text, *evidence[name], images=records.images) for name, (place, text, _) in CLAIMS.items()
    }


def _of_classes(pairs: ClassPairs | None) -> dict[str, _Statistics]:
    if pairs is None:
        return dict.fromkeys(("alike", "differ", "image"), _Statistics({}, NO_PAIRS))
    same, more = pairs.compared[names.PLAIN, names.SAME], pairs.more_alike
    ratio, difference = same.means[names.RATIO], same.means[names.DIFFERENCE]
    about, most = f"over {pairs.images} images ({pairs.source})", max(same.values[names.DIFFERENCE])
    return {
        "alike": _Statistics({names.RATIO: ratio}, f"{shown(ratio)} {about}", ALIKE),
        "differ": _Statistics({names.DIFFERENCE: difference}, f"{shown(difference)}, up to {most:.3f}, {about}", APART),
        "image": _Statistics({names.RATIO: more}, f"{shown(more)} over {more.n} pairs of images"),
    }


def _of_reactions(records: EnhanceRecords) -> dict[str, _Statistics]:
    others = [record for record in records.ranked if record.name not in {names.ENHANCED, names.RANDOM}]
    steady = {record.name: record.attacked for record in others if record.attacked is not None and _steady(record)}
    left_out = {record.name: record.noisy for record in others if record.noisy is not None and not _steady(record)}
    ending = f"; {_listed('left out, under noise', left_out)}" if left_out else ""
    apart, beyond = records.reactions, records.maps[names.ENHANCED].beyond_class
    return {
        "reacts": _Statistics(apart, f"{_listed('enhanced minus', apart)}. {built_in(records)}"),
        "similar": _Statistics(steady, _listed("correlation of", steady) + ending, SIMILAR),
        "beyond": _Statistics(
            {names.ENHANCED: beyond},
            "its maps are constant" if beyond is None else f"class alone minus attack {shown(beyond)}",
        ),
    }


def _steady(record: MapRecord) -> bool:
    """Whether a method's maps stay similar under noise; those of LIME with few samples do not."""
    return record.noisy is not None and record.noisy.value > SIMILAR


def _of_recovery(records: EnhanceRecords) -> dict[str, _Statistics]:
    leads, coloured = {name: lead.area for name, lead in records.leads.items()}, records.channels > 1
    apart = records.normalisations
    grey = "" if coloured else "; with one channel the two energies are the same"
    return {
        "most": _Statistics(leads, _listed("enhanced minus", leads)),
        "more": _Statistics({names.PLAIN: leads[names.PLAIN]}, str(shown(leads[names.PLAIN]))),
        "normalised": _Statistics(apart if coloured else {}, _listed("channel_energy minus", apart) + grey),
    }


def _listed(about: str, statistics: Mapping[str, PlainStatistic]) -> str:
    return f"{about} " + ", ".join(f"{name} {shown(statistic)}" for name, statistic in statistics.items())


def built_in(records: EnhanceRecords) -> str:
    """Return a sentence about the part of the enhanced map's reaction that follows from its definition alone."""
    return (
        "The enhanced map's reaction is built in where the attack exchanges the first two classes: then one map is of "
        "(k, m) and the other of (m, k), which on one image share no value. On "
        f"{records.share(records.rivals_true)} of {records.images} images the attacked one's runner-up is the "
        f"clean one's class. On {records.share(records.exchanged)} the reverse is true as well."
    )


def finding(records: EnhanceRecords, claims: Mapping[str, Claim]) -> str:
    """Return the sentences of the finding."""
    sentences = [*_on_recovery(records), *_on_secrets(records), *_on_reaction(records), *_on_classes(records.pairs)]
    if claims["reacts"].verdict == "holds" and records.rivals_true:
        sentences.append("Its stronger reaction than that of all other methods is partly built in.")
    return few_images(records.images) + " ".join([*sentences, built_in(records), in_words(list(claims.values()))])


def _on_recovery(records: EnhanceRecords) -> Iterator[str]:
    enhanced, chance = records.maps[names.ENHANCED], records.maps[names.RANDOM]
    ranked = [record.name for record in records.ranked]
    yield (
        f"{records.attack} fools {records.images} of {records.right} images that are classified right. That is a share "
        f"of {records.success}. Replacing pixels by {names.FILLS[records.fill]} in the order of enhanced guided "
        f"backprop brings back {shown(enhanced.recovered.area)} of the true classes, on average over the "
        f"shares of pixels. That is place {ranked.index(names.ENHANCED) + 1} of {len(ranked)} maps."
    )
    share, best = enhanced.recovered.best_share, shown(enhanced.recovered.best)
    if share is None:
        yield "Nothing is brought back at any share."
    else:
        yield f"At its best share, {share:.0%}, it brings back {best}."
    for name in dict.fromkeys((ranked[0], names.PLAIN, names.RANDOM)):
        if name != names.ENHANCED:
            yield f"The order of {name} brings back {shown(records.maps[name].recovered.area)}."
    yield (
        f"Clean images keep {shown(enhanced.clean.area)} of their accuracy in the order of enhanced guided backprop, "
        f"and {shown(chance.clean.area)} in random order."
    )


def _on_secrets(records: EnhanceRecords) -> Iterator[str]:
    leak, changed = records.maps[names.LABEL_LEAK], records.maps[names.PERTURBATION]
    yield (
        f"With the true class as rival, which leaks the label, it brings back {shown(leak.recovered.area)}, "
        f"{shown(records.leak)} more. The order of the perturbation itself brings back "
        f"{shown(changed.recovered.area)}."
    )


def _on_reaction(records: EnhanceRecords) -> Iterator[str]:
    enhanced = records.maps[names.ENHANCED]
    if enhanced.attacked is None or enhanced.swapped is None or enhanced.noisy is None:
        yield "The enhanced maps are constant, so that no correlation is defined."
        return
    yield (
        "The Spearman correlation of the enhanced map with the clean image's map is "
        f"{shown(enhanced.attacked)} under the attack, and {shown(enhanced.noisy)} under noise of the same norms. On "
        f"the clean image itself, for the class of the adversarial one, it is {shown(enhanced.swapped)}."
    )


def _on_classes(pairs: ClassPairs | None) -> Iterator[str]:
    if pairs is None:
        yield f"Maps of two classes of one image are not compared: {NO_PAIRS}."
        return
    means = pairs.compared[names.PLAIN, names.SAME].means
    yield (
        f"Guided backprop's maps of two classes of one image agree in {shown(means[names.RATIO])} of the values at s > "
        f"0, over {pairs.images} images. Their averages differ by {shown(means[names.DIFFERENCE])}."
    )
