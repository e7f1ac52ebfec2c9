"""`evaluate.py enhance`: enhanced guided backpropagation (Gu & Tresp, "Saliency Methods for Explaining ...", 2019)."""

from typing import Final

from experiments.explanation.enhance import charts, grids
from experiments.explanation.enhance.answer import finding
from experiments.explanation.enhance.classes import (
    DIFFERENCE,
    NATURAL,
    OTHER,
    RATIO,
    SAME,
    ClassPairs,
    class_pairs,
    multi_label,
)
from experiments.explanation.enhance.findings import Found, judge
from experiments.explanation.enhance.flags import flags_of
from experiments.explanation.enhance.maps import Maps
from experiments.explanation.enhance.measured import OTHER_FILL, ablate, measure
from experiments.explanation.enhance.methods import ENHANCED, GRADIENT, PLAIN, RANDOM
from experiments.explanation.enhance.pixels import TOLD
from experiments.explanation.enhance.setting import prepare, subject
from experiments.explanation.enhance.tables import rows_of, tables_of
from experiments.results.result import Result
from experiments.study.study import Study
from saliency.maps import runner_up

QUESTION: Final = (
    "Does a map of what a class has more of than its rival find the pixels by which an attack succeeds, and react to "
    "attacks, where other maps do not?"
)


def enhance(study: Study) -> Result:
    """Return what enhanced guided backpropagation does, beside all other maps.

    Args:
        study: Its options are those of `explanation.subject.explained`, and: attack, the name of one of the run's
            (None: its first of Carlini and Wagner, else a warm one); shares of the pixels to perturb, ascending; fill,
            what is put in their place (mean, noise or blur); voc, the root of Pascal VOC for Figure 1 (None: images
            side by side); resamples.

    Raises:
        FileNotFoundError: If a stage is missing, or Pascal VOC is not there.
        ValueError: If an option is out of its range, a method does not fit, or no image is right or fooled.
    """
    found = find(study)
    judged = judge(found)
    setting, pairs = found.setting, found.pairs
    return Result(
        protocol=setting.explained.protocol("enhance"),
        title="Enhanced guided backpropagation",
        question=QUESTION,
        finding=finding(found, judged),
        meta=setting.meta() | {"rivals_true": found.rivals_true, "classes_of": None if pairs is None else pairs.source},
        rows=rows_of(found),
        tables=tables_of(found, judged),
        figures={
            "": _curves(found),
            **({} if pairs is None else {"classes": _histograms(pairs)}),
            "versions": grids.versions(setting),
            "outcomes": grids.outcomes(setting),
            "reaction": _dots(found),
        },
        flags=[*flags_of(found), setting.explained.flag()],
    )


def find(study: Study) -> Found:
    """Return all that is measured; arguments and errors as of `enhance`."""
    every = subject(study)
    source, several = multi_label(every)  # refuses before the attack
    setting = prepare(every)
    pairs = class_pairs(every, source, several, setting.resampling.resamples)
    maps = Maps(setting)
    measured = measure(setting, maps)
    true_rival = maps.rivals == setting.labels
    was_rival = runner_up(setting.clean.logits, setting.labels) == setting.adversarial.predictions
    return Found(
        setting=setting,
        measured={each.name: each for each in measured},
        ablated=ablate(setting, maps),
        pairs=pairs,
        rivals_true=int(true_rival.sum()),
        exchanged=int((true_rival & was_rival).sum()),
    )


def _curves(found: Found) -> bytes:
    setting, every = found.setting, found.measured.values()
    other = OTHER_FILL[setting.fill]
    panels = {
        f"adversarial images, pixels to {TOLD[setting.fill]}": {each.name: each.recovered for each in every},
        f"adversarial images, pixels to {TOLD[other]}": {each.name: each.refilled for each in every},
        f"clean images, pixels to {TOLD[setting.fill]}": {each.name: each.clean for each in every},
    }
    note = (
        f"{len(setting)} images fooled by {setting.attack_name}; band: 95 % bootstrap interval; dashed: oracles, which "
        "know the true class or the perturbation; grey: other methods; square-root axis"
    )
    oracles = [each.name for each in every if each.oracle]
    title = "Accuracy against the share of pixels perturbed in a map's order"
    return charts.curves(title, panels, ENHANCED, (PLAIN, GRADIENT, RANDOM), oracles, note)


def _histograms(pairs: ClassPairs) -> bytes:
    rows = {
        method.replace("_", " "): {
            measure: {
                sample: pairs.compared[method, sample].values[measure].tolist() for sample in (SAME, OTHER, NATURAL)
            }
            for measure in (RATIO, DIFFERENCE)
        }
        for method in (PLAIN, GRADIENT)
    }
    return charts.histograms(f"Maps of two classes, and of two images; {pairs.images} images: {pairs.source}", rows)


def _dots(found: Found) -> bytes:
    ranked = sorted(found.ranked, key=lambda each: each.name != ENHANCED)
    rows = {
        each.name: {
            name: None if value is None else value.interval
            for name, value in {
                "attack": each.attacked,
                "clean image, adversarial class": each.swapped,
                "noise of the same norms": each.noisy,
            }.items()
        }
        for each in ranked
    }
    title = f"How alike maps stay under {found.setting.attack_name}"
    return charts.dots(title, rows, "Spearman correlation with the clean image's map")
