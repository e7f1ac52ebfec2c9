"""The images that an attack fools, clean, attacked and noisy, with the saliency methods that explain them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, TypeVar, cast

from torch import Tensor

import saliency
from attacks import BIM, FGSM, Attack, CarliniWagnerL2, WarmCarliniWagnerL2
from attacks.errors import InputError, unknown
from experiments.explanation.enhance import names
from experiments.explanation.enhance.records import FooledImages
from experiments.explanation.subject import METHODS, Explained
from experiments.results.bootstrap import Resampling, clopper_pearson
from experiments.results.verdicts import FEWEST
from experiments.study.images import norm_matched_noise
from experiments.study.study import Study
from saliency.maps import runner_up

ALWAYS: Final = {name: METHODS[name] for name in (names.GRADIENT, names.PLAIN, names.ENHANCED, names.RANDOM)}
"""Methods that the paper's figures always need."""

BASES: Final = {name: METHODS[name] for name in (names.PLAIN, names.GRADIENT, "smoothgrad", "integrated_gradients")}
"""Methods that are enhanced, unless the user gives another method of that name."""

_SAMPLES: Final = 150
"""Samples of LIME, in place of its authors' 1000: a map takes a second or more."""

AnyAttack = TypeVar("AnyAttack", bound=Attack)


@dataclass(frozen=True)
class PredictedImages:
    """Images with their logits.

    Attributes:
        images: (n, C, H, W) in [0, 1].
        logits: (n, K).
    """

    images: Tensor
    logits: Tensor

    @property
    def predictions(self) -> Tensor:
        """The predicted classes (n,)."""
        return self.logits.argmax(1)

    @property
    def rivals(self) -> Tensor:
        """The classes (n,) with the second largest logit."""
        return runner_up(self.logits, self.predictions)


@dataclass(frozen=True)
class AttackedImages:
    """The images that the attack fools, in three versions, with classifier and saliency methods.

    Attributes:
        facts: Their number, and the options.
        labels: (n,), the true classes.
        clean: The images as they are.
        adversarial: The same, attacked.
        noise: The same, with noise of their perturbation's norms.
    """

    facts: FooledImages
    resampling: Resampling
    explained: Explained
    attack: Attack
    labels: Tensor
    clean: PredictedImages
    adversarial: PredictedImages
    noise: PredictedImages

    @property
    def enhanced(self) -> saliency.Enhanced:
        """The enhanced method under study."""
        return cast("saliency.Enhanced", self.explained.methods[names.ENHANCED])

    def meta(self) -> dict[str, Any]:
        """Return the settings that reproduce the tables."""
        return self.explained.meta() | {
            "attack": f"{self.facts.attack}: {self.attack!r}",
            "images_right": self.facts.right,
            "images_that_count": self.facts.images,
            "shares": list(self.facts.shares),
            "fill": self.facts.fill,
            "resamples": self.resampling.resamples,
        }


def prepare(
    every: Explained, named_attack: tuple[str, Attack], shares: Sequence[float], fill: names.Fill, resamples: int
) -> AttackedImages:
    """Return the fooled images with their attacks.

    Args:
        every: Classifier, images and methods.
        named_attack: The attack, behind its name.
        shares: Shares of the pixels to perturb, ascending.
        fill: The values that replace perturbed pixels.
        resamples: Number of bootstrap resamples.

    Raises:
        ValueError: If no image is fooled.
    """
    name, attack = named_attack
    right = every.predictions == every.labels
    clean, labels, logits = every.images[right], every.labels[right], every.logits[right]
    attacked = every.attacked(attack, clean, about=f"attacking with {name}")
    after = every.predict(attacked)
    fooled = after.argmax(1) != labels
    if not fooled.any():
        raise InputError(_none_fooled(f"{name} ({attack!r})", len(labels), len(right)))
    noisy = norm_matched_noise(clean[fooled], attacked[fooled])
    count = int(fooled.sum())
    facts = FooledImages(
        attack=name,
        images=count,
        right=len(labels),
        success=clopper_pearson(count / len(labels), len(labels)),
        channels=clean.shape[1],
        shares=shares,
        fill=fill,
    )
    return AttackedImages(
        facts=facts,
        resampling=Resampling(count, resamples),
        explained=every,
        attack=attack,
        labels=labels[fooled],
        clean=PredictedImages(clean[fooled], logits[fooled]),
        adversarial=PredictedImages(attacked[fooled], after[fooled]),
        noise=PredictedImages(noisy, every.predict(noisy)),
    )


def _none_fooled(attack: str, right: int, images: int) -> str:
    if right < FEWEST:
        return (
            f"only {right} of {images} images are classified right, and {attack} fools none of them: take more "
            "--images, or train the classifier further"
        )
    return (
        f"none of {right} images that are classified right ({images} were looked at) is fooled by {attack}: name a "
        "stronger attack by --attack, or take more --images"
    )


def checked(shares: Sequence[float]) -> Sequence[float]:
    """Return the shares, which must be at least two ascending numbers in [0, 1]."""
    rising = all(first < second for first, second in pairwise(shares))
    if len(shares) < 2 or not rising or shares[0] < 0 or shares[-1] > 1:  # noqa: PLR2004 - a curve has two points
        msg = f"shares must be at least two ascending numbers in [0, 1], got {list(shares)}"
        raise InputError(msg)
    return tuple(shares)


def chosen_attack(study: Study, name: str | None) -> tuple[str, Attack]:
    """Return the run's attack of a name; for None the run's of Carlini and Wagner, else one of theirs."""
    attacks = study.run.attacks()
    if name is None:
        kinds: tuple[type[Attack], ...] = (CarliniWagnerL2, WarmCarliniWagnerL2)
        return of_kind(study, kinds, "cw", WarmCarliniWagnerL2())
    if name not in attacks:
        msg = f"{unknown('attack', name, attacks)}; null takes Carlini and Wagner's"
        raise InputError(msg)
    return name, attacks[name]


def fgsm_and_bim(study: Study) -> tuple[tuple[str, FGSM], tuple[str, BIM]]:
    """Return the run's FGSM and BIM with their names, or new ones with a budget for photographs."""
    fgsm = of_kind(study, (FGSM,), "fgsm", FGSM(epsilon=0.03))
    return fgsm, of_kind(study, (BIM,), "bim", BIM(epsilon=0.03, step_size=0.005))


def of_kind(study: Study, kinds: tuple[type[AnyAttack], ...], name: str, default: AnyAttack) -> tuple[str, AnyAttack]:
    """Return the run's first untargeted attack of some classes, with its name; else a default, under a free name."""
    attacks = study.run.attacks()
    for own_name, attack in attacks.items():
        if isinstance(attack, kinds) and not attack.targeted:
            return own_name, attack
    return f"{name}, default" if name in attacks else name, default


def ready(every: Explained, *, quick: bool) -> Explained:
    """Return the subject with the methods that the charts need, checked before anything is attacked.

    Raises:
        ValueError: If a method does not match its name or is not defined for the classifier, or no image is classified
            right.
    """
    methods = {
        name: replace(method, samples=_SAMPLES) if isinstance(method, saliency.LIME) and quick else method
        for name, method in every.methods.items()
    }
    every = replace(every, methods=methods | {name: ALWAYS[name] for name in ALWAYS if name not in methods})
    _check_names(every.methods)
    _check_defined(every)
    if not (every.predictions == every.labels).any():
        msg = (
            f"none of {len(every.labels)} images is classified right, and only such can be attacked: take more "
            "--images, or train the classifier further"
        )
        raise InputError(msg)
    return every


def _check_names(methods: Mapping[str, saliency.SaliencyMethod]) -> None:
    """Refuse a method whose class does not fit its name."""
    for name, usual in ALWAYS.items():
        method = methods[name]
        other_base = isinstance(method, saliency.Enhanced) and not isinstance(method.base, saliency.GuidedBackprop)
        if not isinstance(method, type(usual)) or other_base:
            base = " of saliency.GuidedBackprop" if name == names.ENHANCED else ""
            kind = f"saliency.{type(usual).__name__}{base}"
            msg = f"the name {name} is reserved for {kind}, and {method!r} has it: give that method another name"
            raise InputError(msg)


def _check_defined(every: Explained) -> None:
    """Try all methods on an image; refuse a method that is not defined for the classifier."""
    for name in (names.PLAIN, *every.methods):
        try:
            every.attributions(name, every.images[:1], about="on one image")
        except ValueError as error:
            reason, _, _ = str(error).partition(": ")
            if name in (names.PLAIN, names.ENHANCED):
                reason = f"enhance is about guided backpropagation, which is not defined for this classifier ({reason})"
                msg = f"{reason}: give a classifier with ReLUs by --classifier"
            else:
                msg = f"{name} is not defined for this classifier ({reason}): leave it out of --methods"
            raise InputError(msg) from error
