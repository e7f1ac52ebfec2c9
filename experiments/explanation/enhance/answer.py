"""The answer of `evaluate.py enhance` in words, by the verdicts."""

from collections.abc import Sequence

from experiments.explanation.enhance.classes import DIFFERENCE, RATIO, SAME
from experiments.explanation.enhance.findings import NO_PAIRS, Found, Judged, built_in, few
from experiments.explanation.enhance.measured import LABEL_LEAK, PERTURBATION
from experiments.explanation.enhance.methods import ENHANCED, PLAIN, RANDOM
from experiments.explanation.enhance.pixels import TOLD
from experiments.explanation.enhance.setting import FEWEST
from experiments.results.verdicts import Verdict


def finding(found: Found, judged: Sequence[Judged]) -> str:
    """Return the answer in words, by the verdicts.

    Args:
        found: What was measured.
        judged: See `judge`.
    """
    verdicts = {each.text: each.verdict for each in judged}
    most, reacts, similar, own = (
        next(verdict for text, verdict in verdicts.items() if part in text)
        for part in ("of all other maps", "more strongly", "All other methods make similar", "not only to the class")
    )
    count = len(found.setting)
    return " ".join(
        [
            *([f"{few(count).capitalize()}."] if count < FEWEST else []),
            _recovers(found, most),
            _secrets(found),
            _reacts(found, reacts, similar, own),
            _classes(found),
        ]
    )


def _recovers(found: Found, verdict: Verdict) -> str:
    own, setting = found.measured[ENHANCED], found.setting
    place = [each.name for each in found.ranked].index(ENHANCED) + 1
    shown = {each.name: each for each in found.ranked[:1] if each.name != ENHANCED} | {
        name: found.measured[name] for name in (PLAIN, RANDOM)
    }
    others = ", ".join(f"{name} {each.recovered.area.interval}" for name, each in shown.items())
    at_share = "" if own.recovered.best_share is None else f", at {own.recovered.best_share:.0%}"
    return (
        f"That enhanced guided backprop recovers more than all others {said(verdict)}: on {len(setting)} images that "
        f"{setting.attack_name} fools, replacing pixels in its order by {TOLD[setting.fill]} brings back "
        f"{own.recovered.area.interval} of the true classes on average over shares from "
        f"{setting.shares[0]:.0%} to {setting.shares[-1]:.0%} (at best {own.recovered.best.interval}{at_share}), place "
        f"{place} of {len(found.ranked)}; beside it {others}; clean images keep {own.clean.area.interval} of their "
        f"accuracy in its order, {found.measured[RANDOM].clean.area.interval} in random order."
    )


def _secrets(found: Found) -> str:
    leak, own = found.measured[LABEL_LEAK].recovered.area, found.measured[ENHANCED].recovered.area
    changed = found.measured[PERTURBATION].recovered.area
    return (
        f"Its rival, the runner-up, is the true class on {found.rivals_true} of {len(found.setting)} images; with the "
        f"true class as rival, which leaks the label, it recovers {leak.interval}, {leak.minus(own).interval} more; "
        f"the order of the perturbation itself recovers {changed.interval}."
    )


def _reacts(found: Found, reacts: Verdict, similar: Verdict, alone: Verdict) -> str:
    own = found.measured[ENHANCED]
    told = "its maps are constant"
    if own.attacked is not None and own.swapped is not None and own.noisy is not None:
        told = (
            f"the Spearman correlation with the clean image's map is {own.attacked.interval} under the attack, "
            f"{own.swapped.interval} on the clean image itself when asked for the adversarial class, and "
            f"{own.noisy.interval} under noise of the same norms"
        )
    partly = ", partly by construction" if reacts == "holds" and found.rivals_true else ""
    return (
        f"That it reacts to the attack more strongly than all others {said(reacts)}{partly} ({told}), and that it "
        f"reacts to more than the class it is asked for {said(alone)}. {built_in(found)} That all others make similar "
        f"maps {said(similar)}."
    )


def _classes(found: Found) -> str:
    if found.pairs is None:
        return f"Maps of two classes of one image are not compared: {NO_PAIRS}."
    means = found.pairs.compared[PLAIN, SAME].means
    return (
        f"Guided backprop's maps of two classes of one image agree in {means[RATIO].interval} of the values at s > 0 "
        f"and differ in their averages by {means[DIFFERENCE].interval} ({found.pairs.images} images)."
    )


def said(verdict: Verdict) -> str:
    """Return a verdict as the end of a sentence."""
    return "is not decided" if verdict == "not decided" else verdict
