"""An attack's images, measured again: success, size of the change, and cost of the attack."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from attacks import Attack, norms
from attacks.guard import evaluation_mode
from experiments.detection.strength.records import LARGE, NORMS, SUBSETS, TWICE, AttackSettings, Cost, StrengthRecords
from experiments.detection.timing import timed
from experiments.results.bootstrap import clopper_pearson
from experiments.results.two_samples import spread_of
from experiments.study.batches import columns, in_batches, predictions
from experiments.study.images import AttackedSet
from experiments.study.ranks import first
from experiments.study.study import Study

SAMPLE: Final = 64
"""Images on which passes and time are measured."""

_ROUNDING: Final = 1e-6
"""How far a float32 image may lie outside its budget."""

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
    return records_of(
        under.name,
        settings_of(under.attack),
        sizes=dict(zip(SIZES, sizes, strict=True)),
        in_range=inside,
        right=before == labels,
        wrong=after != labels,
        wrong_rounded=after_rounding != labels,
        changed=int((after != under.after).sum()),
        cost=first(lambda: _cost(study, under.attack)),
    )


def records_of(
    name: str,
    attack: AttackSettings,
    *,
    sizes: Mapping[str, Tensor],
    in_range: Tensor,
    right: Tensor,
    wrong: Tensor,
    wrong_rounded: Tensor,
    changed: int,
    cost: Cost,
) -> StrengthRecords:
    """Return the records of an attack.

    Args:
        name: Name of the attack.
        attack: Its settings.
        sizes: (M,) of each image's change, by norm.
        in_range: (M,) bool, whether the adversarial image lies in [0, 1].
        right: (M,) bool, predicted right before.
        wrong: (M,) bool, predicted wrong after.
        wrong_rounded: (M,) bool, predicted wrong after the attack with the images rounded to 8 bits.
        changed: Images whose stored prediction differs from the one made now.
        cost: On a sample.
    """
    fooled, count = right & wrong, int(right.sum())
    beside = {
        **_rate("success_rate", fooled, count),
        **_rate("success_rate_rounded", right & wrong_rounded, count),
        "right_before": count,
        "forward_passes": cost.forward_passes,
        "backward_passes": cost.backward_passes,
    }
    subsets = {"successful": fooled, "all": torch.ones_like(fooled)}
    return StrengthRecords(
        name=name,
        attack=attack,
        rows=[
            {"attack": name, "subset": subset, "norm": norm, **_size(norm, sizes[norm][subsets[subset]]), **beside}
            for subset in SUBSETS
            for norm in NORMS
        ],
        right=count,
        success_rate=beside["success_rate"],
        fooled=fooled.tolist(),
        l2=sizes["l2"].tolist(),
        violations=_violations(attack, sizes, in_range),
        changed=changed,
        cost=cost,
    )


def _size(norm: str, sizes: Tensor) -> dict[str, Any]:
    """Return mean and quantiles of the sizes (n,) of some changes, and whether the mean is large."""
    spread = spread_of(sizes)
    mean = spread["mean"]
    large = None if norm not in LARGE or mean is None else mean >= LARGE[norm]
    return {"n": len(sizes), **spread, "large": large}


def _rate(name: str, fooled: Tensor, count: int) -> dict[str, float | None]:
    """Return the share of `count` images that are fooled (M,), and its interval, under a name; None of no images."""
    ends = clopper_pearson(int(fooled.sum()) / count, count) if count else None
    fields = {name: "value", f"{name}_low": "low", f"{name}_high": "high"}
    return {field: None if ends is None else getattr(ends, end) for field, end in fields.items()}


def _violations(attack: AttackSettings, sizes: Mapping[str, Tensor], in_range: Tensor) -> int:
    """Return the number of images outside the box or the budget (D21)."""
    outside, budget = ~in_range, attack.epsilon
    if budget is not None:
        linf = attack.norm_family == "linf"
        outside = outside | (sizes["linf" if linf else "l2"] > budget + _ROUNDING * (1 if linf else budget))
    return int(outside.sum())


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
    repeatable = torch.equal(*(attack(study.classifier, few) for _ in range(2)))
    report, seconds = timed(lambda: attack.report(study.classifier, sample), study.device)
    return Cost(
        images=len(sample),
        forward_passes=report.forward_passes.mean().item(),
        backward_passes=report.backward_passes.mean().item(),
        seconds=seconds / len(sample),
        threads=torch.get_num_threads(),
        repeatable=repeatable,
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
