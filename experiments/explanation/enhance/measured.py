"""What each map does: how much of the accuracy its pixels bring back, and how it reacts to the attack."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, get_args

import torch
from torch import Tensor

from experiments.explanation.enhance.curves import Recovery, recovery_of
from experiments.explanation.enhance.maps import BASES, OWN_BASE, Maps
from experiments.explanation.enhance.methods import ENHANCED, enhanced_of
from experiments.explanation.enhance.pixels import Fill, filling, perturbed, ranks
from experiments.explanation.enhance.setting import Setting, Version
from experiments.results.bootstrap import Statistic, mean_of
from saliency.maps import enhance
from saliency.maps.enhanced import Normalisation
from saliency.maps.reduction import reduce
from saliency.similarity import spearman

LABEL_LEAK: Final = f"{ENHANCED}, rival the true class"
PERTURBATION: Final = "the perturbation itself"

OTHER_FILL: Final[Mapping[Fill, Fill]] = {"mean": "blur", "noise": "mean", "blur": "mean"}
"""What pixels are perturbed by in the check of robustness."""


@dataclass(frozen=True)
class Measured:
    """A map under study.

    Attributes:
        name: Of the method.
        oracle: Whether it knows what no method may know: the true class, or the perturbation.
        recovered: Accuracy on the adversarial images, pixels taken in the order of their maps.
        refilled: The same with the other fill.
        clean: Accuracy on the clean images, pixels taken in the order of their own maps: the price.
        positive: Share of the pixels of an adversarial image where its map is above 0.
        attacked: Mean Spearman correlation of the clean image's map with the adversarial one's; None: it has none.
        noisy: With that of the image under noise of the same norms.
        swapped: With that of the clean image itself, for the class that the adversarial one is mistaken for: what the
            choice of the class does alone.
        reaction: Correlation under noise minus that under the attack, on images where both are defined.
        reactions: (n,) of these differences, NaN where a map is constant.
        beyond_class: Correlation for the class alone minus that under the attack, on images where both are defined.
    """

    name: str
    oracle: bool
    recovered: Recovery
    refilled: Recovery
    clean: Recovery
    positive: Statistic | None = None
    attacked: Statistic | None = None
    noisy: Statistic | None = None
    swapped: Statistic | None = None
    reaction: Statistic | None = None
    beyond_class: Statistic | None = None
    reactions: Tensor = field(default_factory=lambda: torch.empty(0), repr=False)


def measure(setting: Setting, maps: Maps) -> list[Measured]:
    """Return what each method does, then what the oracles do.

    Args:
        setting: The images.
        maps: Of these.
    """
    names = setting.explained.methods
    progress = setting.explained.study.progress
    return [
        *(_method(setting, maps, name) for name in progress.track(names, description="methods")),
        _leaking(setting, maps),
        _perturbation(setting),
    ]


def _method(setting: Setting, maps: Maps, name: str) -> Measured:
    adversarial = reduce(maps.adversarial(name), setting.explained.methods[name].reduction)
    clean, noise, swapped = (
        setting.explained.maps(name, version.images, classes.predictions, about)
        for about, version, classes in (
            ("clean", setting.clean, setting.clean),
            ("noise", setting.noise, setting.noise),
            ("clean, adversarial class", setting.clean, setting.adversarial),
        )
    )
    attacked, noisy, alone = (spearman(clean, other) for other in (adversarial, noise, swapped))
    return replace(
        _measured(setting, adversarial, clean, name),
        attacked=mean_of(attacked, setting.resampling),
        noisy=mean_of(noisy, setting.resampling),
        swapped=mean_of(alone, setting.resampling),
        reaction=mean_of(noisy - attacked, setting.resampling),
        reactions=noisy - attacked,
        beyond_class=mean_of(alone - attacked, setting.resampling),
    )


def _leaking(setting: Setting, maps: Maps) -> Measured:
    """Return what the enhanced map does whose rival is the true class; of a clean image, the method's own map."""
    own = enhanced_of(setting.explained)
    pair = maps.adversarial(OWN_BASE), maps.adversarial(OWN_BASE, "true")
    adversarial = reduce(enhance(*pair, own.normalisation), own.reduction)
    clean = setting.explained.maps(ENHANCED, setting.clean.images, setting.clean.predictions, "clean")
    return _measured(setting, adversarial, clean, LABEL_LEAK, oracle=True)


def _perturbation(setting: Setting) -> Measured:
    """Return what the attack's own change does; in a clean image the same pixels are taken."""
    change = reduce(setting.adversarial.images - setting.clean.images, "l1")
    return _measured(setting, change, change, PERTURBATION, oracle=True)


def _measured(setting: Setting, adversarial: Tensor, clean: Tensor, name: str, *, oracle: bool = False) -> Measured:
    """Return the curves of maps (n, 1, H, W) of the adversarial and of the clean images."""
    fill, other = setting.fill, OTHER_FILL[setting.fill]
    return Measured(
        name=name,
        oracle=oracle,
        recovered=curve(setting, setting.adversarial, adversarial, fill, name),
        refilled=curve(setting, setting.adversarial, adversarial, other, f"{name}, {other}"),
        clean=curve(setting, setting.clean, clean, fill, f"{name}, clean"),
        positive=mean_of((adversarial > 0).double().mean((1, 2, 3)), setting.resampling),
    )


def curve(setting: Setting, version: Version, maps: Tensor, fill: Fill, about: str) -> Recovery:
    """Return the accuracy on images whose pixels are perturbed in the order of maps.

    Args:
        setting: Gives labels and shares.
        version: The images.
        maps: (n, 1, H, W).
        fill: What is put in the pixels' place.
        about: What is shown beside the bar.
    """
    places, fillings = ranks(maps), filling(version.images, fill)
    right = []
    for share in setting.shares:
        images = perturbed(version.images, places, share, fillings)
        logits = setting.explained.predict(images, f"{about}, {share:.0%}") if share > 0 else version.logits
        right.append(logits.argmax(1) == setting.labels)
    return recovery_of(torch.stack(right, 1), setting.shares, setting.resampling)


NORMALISATIONS: Final[tuple[Normalisation, ...]] = get_args(Normalisation)


@dataclass(frozen=True)
class Ablated:
    """A method, enhanced or not.

    Attributes:
        base: Its name.
        normalisation: Of its maps; None: it is not enhanced. All are reduced by the l1 norm over the channels.
        recovered: Accuracy on the adversarial images.
        overlapping: How many values the map of the class and its rival, and that of the rival and the class, share.
    """

    base: str
    normalisation: Normalisation | None
    recovered: Recovery
    overlapping: int = 0


def ablate(setting: Setting, maps: Maps) -> list[Ablated]:
    """Return every base without and with each normalisation.

    Args:
        setting: The images.
        maps: Of these.
    """
    found = []
    for base in BASES:
        explained, rival = maps.adversarial(base), maps.adversarial(base, "rival")
        plain = curve(setting, setting.adversarial, reduce(explained, "l1"), setting.fill, base)
        found.append(Ablated(base, None, plain))
        for normalisation in NORMALISATIONS:
            enhanced, reverse = (enhance(*pair, normalisation) for pair in ((explained, rival), (rival, explained)))
            about = f"{base}, {normalisation}"
            recovered = curve(setting, setting.adversarial, reduce(enhanced, "l1"), setting.fill, about)
            found.append(Ablated(base, normalisation, recovered, int(((enhanced > 0) & (reverse > 0)).sum())))
    return found
