"""What the evaluation of attacks says about itself (PROTOCOL D18, D20, D21)."""

import statistics
from collections.abc import Sequence
from itertools import product
from typing import Final

from experiments.detection.strength.records import TWICE, AttackSettings, StrengthRecords
from experiments.detection.tables import idle_flag, listing_flag
from experiments.results.result import Flag
from experiments.results.two_samples import weaker

_CARLINI_WAGNER: Final = {"CarliniWagnerL2", "WarmCarliniWagnerL2"}
"""Class names of the attacks of Carlini and Wagner."""

_DIFFERING: Final = 0.01
"""Share of images on the boundary that rounding may put on its other side."""


def flags_of(attacks: Sequence[StrengthRecords], stuck: int) -> list[Flag]:
    """Return the flags; `stuck` is the number of images where `stuck_images` finds no usable gradient."""
    images = len(attacks[0].fooled)
    return [
        _iterative(attacks),
        _carlini_wagner(attacks),
        listing_flag(
            "Box or budget violated",
            [f"{attack.name} ({attack.violations} images)" for attack in attacks if attack.violations],
            "Outside [0, 1] or the attack's epsilon: {}.",
            "Every stored image lies in [0, 1], and within epsilon where its attack has one.",
        ),
        idle_flag(records.name for records in attacks if not any(records.fooled)),
        Flag(
            "Zero or non-finite gradients",
            stuck > 0,
            f"The gradient of the cross entropy (label: the classifier's own prediction) is exactly zero or not finite "
            f"on {stuck} of {images} clean test images ({stuck / images:.3f}).",
        ),
        listing_flag(
            "Non-determinism",
            [records.name for records in attacks if not records.cost.repeatable],
            "Two attacks on the same images gave different ones: {}.",
            f"Each attack, run twice on the same {TWICE} images or fewer, gave the same ones to the bit.",
        ),
        _recomputed(attacks),
    ]


def _iterative(attacks: Sequence[StrengthRecords]) -> Flag:
    """An attack of many steps against one of a single step in the same ball (D18)."""
    singles = [records for records in attacks if "FGSM" in records.attack.classes]
    pairs = [
        (many, single)
        for many, single in product(attacks, singles)
        if _in_ball(many.attack) and many.attack.epsilon == single.attack.epsilon
    ]
    lost = [weaker(many.success_rate, single.right, single.success_rate, single.right) for many, single in pairs]
    compared = [(loses, *pair) for loses, pair in zip(lost, pairs, strict=True) if loses is not None]
    rates = "; ".join(
        f"{many.name} {many.success_rate:.3f}, {single.name} {single.success_rate:.3f}" for _, many, single in compared
    )
    return Flag(
        "An iterative attack weaker than a single step",
        any(loses for loses, _, _ in compared) if compared else None,
        f"Success rates at the same epsilon: {rates}."
        if compared
        else "No iterative attack shares its L-inf budget with FGSM.",
    )


def _in_ball(attack: AttackSettings) -> bool:
    """Return whether the attack takes several steps in an L-inf ball."""
    in_linf = attack.epsilon is not None and attack.norm_family == "linf"
    return in_linf and "FGSM" not in attack.classes and attack.steps > 1


def _carlini_wagner(attacks: Sequence[StrengthRecords]) -> Flag:
    """C&W's changes against DeepFool's, on the images that both fooled (D21)."""
    theirs = [records for records in attacks if "DeepFool" in records.attack.classes]
    ours = [
        records for records in attacks if _CARLINI_WAGNER & {*records.attack.classes} and records.attack.confidence == 0
    ]
    longer, medians = [], []
    for first, second in product(ours, theirs):
        both = [place for place, fooled in enumerate(zip(first.fooled, second.fooled, strict=True)) if all(fooled)]
        if both:
            our_l2, their_l2 = (statistics.median(records.l2[place] for place in both) for records in (first, second))
            longer.append(our_l2 > their_l2)
            medians.append(f"{first.name} {our_l2:.4f}, {second.name} {their_l2:.4f}")
    return Flag(
        "C&W did not converge",
        any(longer) if longer else None,
        f"Median L2 on the images that both fooled: {'; '.join(medians)}."
        if medians
        else "The run has no C&W attack of confidence 0 and DeepFool that fooled the same images.",
    )


def _recomputed(attacks: Sequence[StrengthRecords]) -> Flag:
    """Predictions made now against those made with the images (D21)."""
    shares = {records.name: records.changed / len(records.fooled) for records in attacks}
    return listing_flag(
        "Success recomputed",
        [f"{name} {share:.3f}" for name, share in shares.items() if share > _DIFFERING],
        "The prediction for a stored image is not the stored one, share of images: {}.",
        f"The predictions for the stored images are the stored ones (mean share that differs "
        f"{statistics.fmean(shares.values()):.4f}).",
    )
