"""Measures each map: the accuracy that its pixels bring back, and how it reacts to the attack."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, Literal, get_args

import torch
from torch import Tensor

from experiments.explanation.enhance.pixels import filling, perturbed, ranks
from experiments.explanation.enhance.records import (
    ENHANCED,
    LABEL_LEAK,
    OTHER_FILL,
    PERTURBATION,
    AblationRecord,
    ClassPairs,
    EnhanceRecords,
    Fill,
    MapRecord,
    RecoveryCurve,
)
from experiments.explanation.enhance.setting import BASES, PredictedImages, Setting
from experiments.results.bootstrap import Resampling, Statistic, mean_of
from saliency.maps import enhance
from saliency.maps.enhanced import Normalisation
from saliency.maps.reduction import reduce
from saliency.similarity import spearman

_OWN_BASE: Final = "base of the enhanced"
"""Name of the method that the studied enhanced method is made of."""

_REPEATED: Final = 8
"""Images whose maps are made twice more."""


class AdversarialMaps:
    """Attributions of the adversarial images; those that several parts need are made once.

    Args:
        setting: The images, and the methods.
    """

    def __init__(self, setting: Setting) -> None:
        self._images = setting.adversarial.images
        self._classes = {
            "predicted": setting.adversarial.predictions,
            "rival": setting.adversarial.rivals,
            "true": setting.labels,
        }
        methods = {**BASES, **setting.explained.methods, _OWN_BASE: setting.enhanced.base}
        self._explained = replace(setting.explained, methods=methods)
        self._kept: dict[tuple[str, str], Tensor] = {}

    def of(self, name: str, target: Literal["predicted", "rival", "true"] = "predicted") -> Tensor:
        """Return a method's attributions (n, C or 1, H, W); those of `BASES` are kept.

        Args:
            name: Name of the method.
            target: The class to explain: predicted, its rival with the second largest logit, or the true one.
        """
        if (name, target) in self._kept:
            return self._kept[name, target]
        maps = self._explained.attributions(name, self._images, self._classes[target], f"adversarial, {target}")
        if name in BASES:
            self._kept[name, target] = maps
        return maps


def measure(setting: Setting, pairs: ClassPairs | None) -> EnhanceRecords:
    """Return all statistics.

    Args:
        setting: Images, attack and methods.
        pairs: Those of the images with several classes.
    """
    maps = AdversarialMaps(setting)
    true_rival = setting.adversarial.rivals == setting.labels
    was_rival = setting.clean.rivals == setting.adversarial.predictions
    return EnhanceRecords(
        attack=setting.attack_name,
        images=len(setting),
        right=setting.right,
        success=setting.success,
        channels=setting.clean.images.shape[1],
        shares=setting.shares,
        fill=setting.fill,
        resampling=setting.resampling,
        maps={record.name: record for record in map_records(setting, maps)},
        ablations=list(_ablations(setting, maps)),
        pairs=pairs,
        rivals_true=int(true_rival.sum()),
        exchanged=int((true_rival & was_rival).sum()),
        noise_changes=int((setting.noise.predictions != setting.clean.predictions).sum()),
        repeated=min(_REPEATED, len(setting)),
        moved=[name for name in setting.explained.methods if _moves(setting, name)],
    )


def map_records(setting: Setting, maps: AdversarialMaps) -> Iterator[MapRecord]:
    """Yield what each method does, then what the oracles do."""
    for name in setting.explained.study.progress.track(setting.explained.methods, description="methods"):
        yield _method(setting, maps, name)
    yield _leaking(setting, maps)
    change = reduce(setting.adversarial.images - setting.clean.images, "l1")
    yield _record(setting, change, change, PERTURBATION, oracle=True)


def _method(setting: Setting, maps: AdversarialMaps, name: str) -> MapRecord:
    adversarial = reduce(maps.of(name), setting.explained.methods[name].reduction)
    clean, noise, swapped = (
        setting.explained.maps(name, images.images, classes.predictions, about)
        for about, images, classes in (
            ("clean", setting.clean, setting.clean),
            ("noise", setting.noise, setting.noise),
            ("clean, adversarial class", setting.clean, setting.adversarial),
        )
    )
    attacked, noisy, alone = (spearman(clean, other) for other in (adversarial, noise, swapped))
    return replace(
        _record(setting, adversarial, clean, name),
        attacked=mean_of(attacked, setting.resampling),
        noisy=mean_of(noisy, setting.resampling),
        swapped=mean_of(alone, setting.resampling),
        reaction=mean_of(noisy - attacked, setting.resampling),
        beyond_class=mean_of(alone - attacked, setting.resampling),
        reactions=noisy - attacked,
    )


def _leaking(setting: Setting, maps: AdversarialMaps) -> MapRecord:
    """Return what the enhanced map does whose rival is the true class; of a clean image, the method's own map."""
    own = setting.enhanced
    adversarial = reduce(enhance(maps.of(_OWN_BASE), maps.of(_OWN_BASE, "true"), own.normalisation), own.reduction)
    clean = setting.explained.maps(ENHANCED, setting.clean.images, setting.clean.predictions, "clean")
    return _record(setting, adversarial, clean, LABEL_LEAK, oracle=True)


def _record(setting: Setting, adversarial: Tensor, clean: Tensor, name: str, *, oracle: bool = False) -> MapRecord:
    """Return the curves of maps (n, 1, H, W) of the adversarial and of the clean images."""
    fill, other = setting.fill, OTHER_FILL[setting.fill]
    return MapRecord(
        name=name,
        oracle=oracle,
        recovered=_curve(setting, setting.adversarial, adversarial, fill, name),
        refilled=_curve(setting, setting.adversarial, adversarial, other, f"{name}, {other}"),
        clean=_curve(setting, setting.clean, clean, fill, f"{name}, clean"),
        positive=mean_of((adversarial > 0).double().mean((1, 2, 3)), setting.resampling),
    )


def _curve(setting: Setting, images: PredictedImages, maps: Tensor, fill: Fill, about: str) -> RecoveryCurve:
    """Return the accuracy on images whose pixels are perturbed in the order of maps (n, 1, H, W)."""
    places, fillings = ranks(maps), filling(images.images, fill)
    right = []
    for share in setting.shares:
        changed = perturbed(images.images, places, share, fillings)
        logits = setting.explained.predict(changed, f"{about}, {share:.0%}") if share > 0 else images.logits
        right.append(logits.argmax(1) == setting.labels)
    return curve_of(torch.stack(right, 1), setting.shares, setting.resampling)


def curve_of(right: Tensor, shares: Sequence[float], resampling: Resampling) -> RecoveryCurve:
    """Return the statistics of a curve.

    Args:
        right: (n, S) bool, whether each image is classified right at each share.
        shares: S, ascending.
        resampling: Of the n images.
    """
    values, count = right.double().mean(0), len(right)
    replicates = torch.stack([resampling.mean(column) for column in right.T], 1)
    places = torch.tensor(shares, dtype=torch.float64)
    areas = torch.trapezoid(torch.cat([values[None], replicates]), places) / (shares[-1] - shares[0])
    best = int(values.argmax())
    return RecoveryCurve(
        shares=shares,
        accuracy=[Statistic(values[at].item(), replicates[:, at], count) for at in range(len(shares))],
        best=Statistic(values[best].item(), replicates.amax(1), count),
        best_share=shares[best] if values[best] > 0 else None,
        area=Statistic(areas[0].item(), areas[1:], count),
    )


def _ablations(setting: Setting, maps: AdversarialMaps) -> Iterator[AblationRecord]:
    """Yield every base without and with each normalisation."""

    def recovered(attributions: Tensor, about: str) -> RecoveryCurve:
        return _curve(setting, setting.adversarial, reduce(attributions, "l1"), setting.fill, about)

    for base in BASES:
        own, rival = maps.of(base), maps.of(base, "rival")
        yield AblationRecord(base, None, recovered(own, base))
        for normalisation in get_args(Normalisation):
            enhanced, reverse = enhance(own, rival, normalisation), enhance(rival, own, normalisation)
            shared = int(((enhanced > 0) & (reverse > 0)).sum())
            yield AblationRecord(base, normalisation, recovered(enhanced, f"{base}, {normalisation}"), shared)


def _moves(setting: Setting, name: str) -> bool:
    """Whether a method's maps of the first images differ when they are made twice."""
    images, classes = setting.clean.images[:_REPEATED], setting.clean.predictions[:_REPEATED]
    first, second = (setting.explained.attributions(name, images, classes, "again") for _ in range(2))
    return not torch.equal(first, second)
