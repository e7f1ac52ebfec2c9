"""What `evaluate.py enhance` works on: images that an attack fools, beside their clean and their noisy versions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, TypeVar

from torch import Tensor

from attacks import BIM, FGSM, Attack, CarliniWagnerL2, WarmCarliniWagnerL2
from experiments.attacked import norm_matched_noise
from experiments.bootstrap import Interval, Resampling, interval
from experiments.enhance.pixels import Fill
from experiments.explained import Explained, explained
from experiments.study import Study
from saliency import LIME, Enhanced, Gradient, GuidedBackprop, Random, SaliencyMethod

ENHANCED: Final = "enhanced_guided_backprop"
PLAIN: Final = "guided_backprop"
GRADIENT: Final = "gradient"
RANDOM: Final = "random"

ALWAYS: Final[Mapping[str, SaliencyMethod]] = {
    GRADIENT: Gradient(),
    PLAIN: GuidedBackprop(),
    ENHANCED: Enhanced(),
    RANDOM: Random(),
}
"""What the paper's figures need, whatever methods are given."""

SHARES: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)

AnyAttack = TypeVar("AnyAttack", bound=Attack)

_SAMPLES: Final = 150
"""Of LIME here, in place of its authors' 1000: a second or more for each map."""


@dataclass(frozen=True)
class Version:
    """The images that count, in one of their versions.

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


@dataclass(frozen=True)
class Setting:
    """The images that count: classified right when clean, wrong when attacked.

    Attributes:
        explained: Classifier and methods.
        attack_name: Of the attack.
        attack: The attack.
        success: Share of the images right before that it fools, with its interval.
        right: How many are right before.
        labels: (n,), the true classes.
        clean: The images as they are.
        adversarial: The same, attacked.
        noise: The same, with noise of their perturbation's norms.
        shares: Of the pixels that are perturbed, ascending.
        fill: What is put in their place.
        resampling: Of the n images.
    """

    explained: Explained
    attack_name: str
    attack: Attack
    success: Interval
    right: int
    labels: Tensor
    clean: Version
    adversarial: Version
    noise: Version
    shares: Sequence[float]
    fill: Fill
    resampling: Resampling

    def __len__(self) -> int:
        """Return how many images count."""
        return len(self.labels)

    def meta(self) -> dict[str, Any]:
        """Return what reproduces the tables."""
        return self.explained.meta() | {
            "attack": f"{self.attack_name}: {self.attack!r}",
            "images_right": self.right,
            "images_that_count": len(self),
            "shares": list(self.shares),
            "fill": self.fill,
            "resamples": self.resampling.resamples,
        }


def prepare(study: Study) -> Setting:
    """Return the images that count, attacked.

    Raises:
        FileNotFoundError: If a stage is missing; says which command makes it.
        ValueError: If an option is out of its range, or no image is fooled.
    """
    shares, resamples = _shares(study.options.get("shares") or SHARES), study.options.get("resamples", 1000)
    name, attack = _attack(study)
    every = _with_methods(explained(study), given=study.options.get("methods") is not None)
    right = every.predictions == every.labels
    clean, labels, logits = every.images[right], every.labels[right], every.logits[right]
    attacked = every.attacked(attack, clean, about=f"attacking with {name}")
    after = every.predict(attacked)
    fooled = after.argmax(1) != labels
    if not fooled.any():
        msg = (
            f"none of {len(labels)} images that are classified right ({len(right)} were looked at) is fooled by "
            f"{name} ({attack!r}): name a stronger attack by --attack, or take more --images"
        )
        raise ValueError(msg)
    noisy = norm_matched_noise(clean[fooled], attacked[fooled])
    found = Resampling(len(labels), resamples).mean(fooled)
    return Setting(
        explained=every,
        attack_name=name,
        attack=attack,
        success=interval(fooled.double().mean().item(), found),
        right=len(labels),
        labels=labels[fooled],
        clean=Version(clean[fooled], logits[fooled]),
        adversarial=Version(attacked[fooled], after[fooled]),
        noise=Version(noisy, every.predict(noisy)),
        shares=shares,
        fill=study.options.get("fill", "mean"),
        resampling=Resampling(int(fooled.sum()), resamples),
    )


def _shares(given: Sequence[float]) -> Sequence[float]:
    rising = all(first < second for first, second in pairwise(given))
    if len(given) < 2 or not rising or given[0] < 0 or given[-1] > 1:  # noqa: PLR2004 - a curve has two points
        msg = f"shares must be at least two ascending numbers in [0, 1], got {list(given)}"
        raise ValueError(msg)
    return tuple(given)


def _attack(study: Study) -> tuple[str, Attack]:
    """Return the attack that is named; else the run's of Carlini and Wagner; else one of theirs."""
    name, attacks = study.options.get("attack"), study.run.attacks()
    if name is not None and name not in attacks:
        msg = f"the run has no attack {name!r}: it has {', '.join(attacks) or 'none'}; null takes Carlini and Wagner's"
        raise ValueError(msg)
    if name is not None:
        return name, attacks[name]
    kinds: tuple[type[Attack], ...] = (CarliniWagnerL2, WarmCarliniWagnerL2)
    return of_kind(study, kinds, "cw", WarmCarliniWagnerL2())


def of_kind(study: Study, kinds: tuple[type[AnyAttack], ...], name: str, default: AnyAttack) -> tuple[str, AnyAttack]:
    """Return the run's first untargeted attack of one of some kinds, with its name; else a default one."""
    for each, attack in study.run.attacks().items():
        if isinstance(attack, kinds) and not attack.targeted:
            return each, attack
    return name, default


def fgsm_and_bim(study: Study) -> tuple[tuple[str, FGSM], tuple[str, BIM]]:
    """Return the run's FGSM and BIM, or such of a budget that suits photographs, with their names."""
    fgsm = of_kind(study, (FGSM,), "fgsm", FGSM(epsilon=0.03))
    return fgsm, of_kind(study, (BIM,), "bim", BIM(epsilon=0.03, step_size=0.005))


def _with_methods(every: Explained, *, given: bool) -> Explained:
    """Return it with the methods that the figures need, and with a quicker LIME where no methods were given."""
    methods = {
        name: replace(method, samples=_SAMPLES) if isinstance(method, LIME) and not given else method
        for name, method in every.methods.items()
    }
    missing = {name: method for name, method in ALWAYS.items() if name not in methods}
    return replace(every, methods={**methods, **missing})
