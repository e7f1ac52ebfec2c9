"""An attack's images, measured again: success, size of the change, and cost of the attack."""

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from attacks import Attack, norms
from attacks.guard import evaluation_mode
from experiments.detection.strength.records import TWICE, AttackSettings, Cost, StrengthRecords
from experiments.detection.timing import timed
from experiments.study.batches import columns, in_batches, predictions
from experiments.study.images import AttackedSet
from experiments.study.ranks import first
from experiments.study.study import Study

SAMPLE: Final = 64
"""Images on which passes and time are measured."""

SIZES: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "l0": norms.l0,
    "l2": norms.l2,
    "rms": norms.rms,
    "linf": norms.linf,
}


def measure_strength(study: Study) -> list[StrengthRecords]:
    """Return the records of each attack of the run."""
    attacks = study.progress.track(study.attacks, description="norms, passes and time of each attack")
    return [measure_attack(study, study.under(name)) for name in attacks]


def measure_attack(study: Study, under: AttackedSet) -> StrengthRecords:
    """Return the images under an attack, measured anew."""
    clean, labels = study.images.clean, study.images.labels
    rounded, _ = under.variant("rounded", clean)
    before, after, after_rounding = (
        predictions(study.classifier, images, study.device, study.data.batch_size)
        for images in (clean, under.adversarial, rounded)
    )
    inside, *sizes = columns(_sizes, clean, under.adversarial, device=torch.device("cpu"))
    right = before == labels
    return StrengthRecords(
        name=under.name,
        attack=settings_of(under.attack),
        sizes=dict(zip(SIZES, sizes, strict=True)),
        in_range=inside,
        right=right,
        fooled=right & (after != labels),
        fooled_rounded=right & (after_rounding != labels),
        changed=int((after != under.after).sum()),
        cost=first(lambda: _cost(study, under.attack)),
    )


def _sizes(clean: Tensor, adversarial: Tensor) -> list[Tensor]:
    """Return which adversarial images (n,) lie in [0, 1], and the sizes (n,) of the changes."""
    flat = adversarial.flatten(1)
    inside = ((flat >= 0) & (flat <= 1)).all(1)  # false for NaN
    return [inside, *(size(adversarial - clean) for size in SIZES.values())]


def settings_of(attack: Attack) -> AttackSettings:
    """Return the settings of an attack that flags compare."""
    names = ("epsilon", "steps", "confidence")
    values = {name: getattr(attack, name) for name in names if hasattr(attack, name)}
    return AttackSettings(tuple(base.__name__ for base in type(attack).__mro__), attack.norm_family, **values)


def _cost(study: Study, attack: Attack) -> Cost:
    clean = study.images.clean
    places = torch.arange(len(clean))[:: max(1, len(clean) // SAMPLE)][:SAMPLE]
    sample = clean[places].to(study.device)
    few = sample[:TWICE]
    first, second = attack(study.classifier, few), attack(study.classifier, few)
    report, seconds = timed(lambda: attack.report(study.classifier, sample), study.device)
    return Cost(
        images=len(sample),
        forward_passes=report.forward_passes.mean().item(),
        backward_passes=report.backward_passes.mean().item(),
        seconds=seconds / len(sample),
        repeatable=torch.equal(first, second),
    )


def stuck_images(study: Study) -> Tensor:
    """Return (M,) bool: on which clean images the gradient of the cross entropy is zero throughout, or not finite."""

    def stuck(images: Tensor) -> Tensor:
        seen = images.detach().clone().requires_grad_()
        logits = study.classifier(seen)
        loss = functional.cross_entropy(logits, logits.argmax(1), reduction="sum")
        (gradient,) = torch.autograd.grad(loss, seen)
        flat = gradient.flatten(1)
        return (flat == 0).all(1) | ~flat.isfinite().all(1)

    with evaluation_mode(study.classifier), torch.enable_grad():
        return in_batches(stuck, study.images.clean, device=study.device, size=study.data.batch_size)
