"""What the evaluation of attacks says about itself (PROTOCOL D18, D20, D21)."""

import statistics
from collections.abc import Mapping
from itertools import product
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from attacks import FGSM, Attack, CarliniWagnerL2, DeepFool, WarmCarliniWagnerL2, norms
from attacks.guard import evaluation_mode
from experiments.detection.strength.measured import TWICE, Measured, batches
from experiments.results.result import Flag
from experiments.study.budgets import is_linf, weaker
from experiments.study.study import Study

_ROUNDING: Final = 1e-6
"""How far a float32 image may lie outside its budget."""


def strength_flags(study: Study, measured: Mapping[str, Measured]) -> list[Flag]:
    """Return what was checked.

    Args:
        study: Of the run.
        measured: The attacks' images by name.
    """
    return [
        _iterative(measured),
        _carlini_wagner(measured),
        _outside(measured),
        _idle(measured),
        _zero_gradients(study),
        _unrepeatable(measured),
        _recomputed(measured),
    ]


def _iterative(measured: Mapping[str, Measured]) -> Flag:
    """An attack of many steps against one of a single step in the same ball (D18)."""
    singles = [each for each in measured.values() if isinstance(each.under.attack, FGSM)]
    pairs = [
        (many, single)
        for many, single in product(measured.values(), singles)
        if _in_ball(many.under.attack) and many.under.attack.epsilon == single.under.attack.epsilon  # type: ignore[attr-defined]
    ]
    found = [_compared(many, single) for many, single in pairs]
    known = [(lost, text) for lost, text in found if lost is not None]
    return Flag(
        "An iterative attack weaker than a single step",
        any(lost for lost, _ in known) if known else None,
        f"Success rates at the same epsilon: {'; '.join(text for _, text in known)}."
        if known
        else "No iterative attack shares its L-inf budget with FGSM.",
    )


def _in_ball(attack: Attack) -> bool:
    """Return whether the attack takes several steps in an L-inf ball."""
    return is_linf(attack) and not isinstance(attack, FGSM) and getattr(attack, "steps", 1) > 1


def _compared(many: Measured, single: Measured) -> tuple[bool | None, str]:
    first, second = many.success_rate, single.success_rate
    if first is None or second is None:
        return None, ""
    count = int(single.right.sum())
    text = f"{many.under.name} {first:.3f}, {single.under.name} {second:.3f}"
    return weaker(first, count, second, count), text


def _carlini_wagner(measured: Mapping[str, Measured]) -> Flag:
    """C&W's changes against DeepFool's, on the images that both fooled (D21)."""
    theirs = [each for each in measured.values() if isinstance(each.under.attack, DeepFool)]
    ours = [
        each
        for each in measured.values()
        if isinstance(each.under.attack, CarliniWagnerL2 | WarmCarliniWagnerL2) and each.under.attack.confidence == 0
    ]
    found = []
    for one, other in product(ours, theirs):
        both = one.fooled & other.fooled
        if both.any():
            lengths = [norms.l2(each.perturbation[both]).double().quantile(0.5).item() for each in (one, other)]
            found.append((lengths, f"{one.under.name} {lengths[0]:.4f}, {other.under.name} {lengths[1]:.4f}"))
    return Flag(
        "C&W did not converge",
        any(first > second for (first, second), _ in found) if found else None,
        f"Median L2 on the images that both fooled: {'; '.join(text for _, text in found)}."
        if found
        else "The run has no C&W attack of confidence 0 and DeepFool that fooled the same images.",
    )


def _outside(measured: Mapping[str, Measured]) -> Flag:
    """Box and budget of every stored image (D21)."""
    broken = {name: count for name, each in measured.items() if (count := _violations(each))}
    told = ", ".join(f"{name} ({count} images)" for name, count in broken.items())
    return Flag(
        "Box or budget violated",
        bool(broken),
        f"Outside [0, 1] or the attack's epsilon: {told}."
        if broken
        else "Every stored image lies in [0, 1], and within epsilon where its attack has one.",
    )


def _violations(measured: Measured) -> int:
    images, attack = measured.under.adversarial.flatten(1), measured.under.attack
    broken = ~((images >= 0) & (images <= 1)).all(1)  # also true for NaN
    budget = getattr(attack, "epsilon", None)
    if budget is not None:
        length = norms.linf if is_linf(attack) else norms.l2
        broken |= length(measured.perturbation) > budget + _ROUNDING * (1 if is_linf(attack) else budget)
    return int(broken.sum())


def _idle(measured: Mapping[str, Measured]) -> Flag:
    idle = [name for name, each in measured.items() if not each.fooled.any()]
    return Flag(
        "An attack that never succeeds",
        bool(idle),
        f"{', '.join(idle)} fooled the classifier on no image." if idle else "Every attack fooled some images.",
    )


def _zero_gradients(study: Study) -> Flag:
    """Images that a gradient attack cannot move (D20)."""
    stuck = torch.cat([_stuck(study, part).cpu() for part in batches(study, study.images.clean)])
    share = stuck.double().mean().item()
    return Flag(
        "Zero or non-finite gradients",
        bool(stuck.any()),
        f"The gradient of the cross entropy (label: the classifier's own prediction) is exactly zero or not finite on "
        f"{int(stuck.sum())} of {len(stuck)} clean test images ({share:.3f}).",
    )


def _stuck(study: Study, images: Tensor) -> Tensor:
    """Return (N,) bool: whose input gradient of the cross entropy is zero throughout, or not finite."""
    with evaluation_mode(study.classifier), torch.enable_grad():
        seen = images.detach().clone().requires_grad_()
        logits = study.classifier(seen)
        loss = functional.cross_entropy(logits, logits.argmax(1), reduction="sum")
        (gradient,) = torch.autograd.grad(loss, seen)
    flat = gradient.flatten(1)
    return (flat == 0).all(1) | ~flat.isfinite().all(1)


def _unrepeatable(measured: Mapping[str, Measured]) -> Flag:
    found = [name for name, each in measured.items() if not each.cost.repeatable]
    return Flag(
        "Non-determinism",
        bool(found),
        f"Two attacks on the same images gave different ones: {', '.join(found)}."
        if found
        else f"Each attack, run twice on the same {TWICE} images or fewer, gave the same ones to the bit.",
    )


def _recomputed(measured: Mapping[str, Measured]) -> Flag:
    """Predictions made now against those made with the images (D21)."""
    shares = {name: each.changed / len(each.right) for name, each in measured.items()}
    differing = {name: share for name, share in shares.items() if share > _DIFFERING}
    told = ", ".join(f"{name} {share:.3f}" for name, share in differing.items())
    return Flag(
        "Success recomputed",
        bool(differing),
        f"The prediction for a stored image is not the stored one, share of images: {told}."
        if differing
        else f"The predictions for the stored images are the stored ones (mean share that differs "
        f"{statistics.fmean(shares.values()):.4f}).",
    )


_DIFFERING: Final = 0.01
"""Share of images on the boundary that rounding may put on its other side."""
