"""What `evaluate.py enhance` works on: images that an attack fools, beside their clean and their noisy versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, TypeVar

from torch import Tensor

from attacks import BIM, FGSM, Attack, CarliniWagnerL2, WarmCarliniWagnerL2
from experiments.explanation.enhance.methods import with_methods
from experiments.explanation.enhance.pixels import Fill
from experiments.explanation.subject import Explained, explained
from experiments.results.bootstrap import Interval, Resampling, interval
from experiments.study.images import norm_matched_noise
from experiments.study.study import Study

FEWEST: Final = 20
"""Images from which a verdict is given: fewer say little, and their resamples too."""

SHARES: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)

AnyAttack = TypeVar("AnyAttack", bound=Attack)


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


def subject(study: Study) -> Explained:
    """Return the classifier, images and methods, all found fit before anything is attacked.

    Raises:
        FileNotFoundError: If a stage is missing; says which command makes it.
        ValueError: If an option is out of its range, a method is not defined for the classifier or not what its name
            says, or no image is classified right.
    """
    _shares(study.options.get("shares") or SHARES)
    _attack(study)
    every = with_methods(explained(study), given=study.options.get("methods") is not None)
    if not (every.predictions == every.labels).any():
        msg = (
            f"none of {len(every.labels)} images is classified right, and only such can be attacked: take more "
            "--images, or train the classifier further"
        )
        raise ValueError(msg)
    return every


def prepare(every: Explained) -> Setting:
    """Return the images that count, attacked.

    Args:
        every: See `subject`.

    Raises:
        ValueError: If no image is fooled.
    """
    study = every.study
    shares, resamples = _shares(study.options.get("shares") or SHARES), study.options.get("resamples", 1000)
    name, attack = _attack(study)
    right = every.predictions == every.labels
    clean, labels, logits = every.images[right], every.labels[right], every.logits[right]
    attacked = every.attacked(attack, clean, about=f"attacking with {name}")
    after = every.predict(attacked)
    fooled = after.argmax(1) != labels
    if not fooled.any():
        raise ValueError(_none_fooled(f"{name} ({attack!r})", len(labels), len(right)))
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
    return carlini_wagner(study)


def carlini_wagner(study: Study) -> tuple[str, Attack]:
    """Return the run's attack of Carlini and Wagner with its name; else a warm one."""
    kinds: tuple[type[Attack], ...] = (CarliniWagnerL2, WarmCarliniWagnerL2)
    return of_kind(study, kinds, "cw", WarmCarliniWagnerL2())


def of_kind(study: Study, kinds: tuple[type[AnyAttack], ...], name: str, default: AnyAttack) -> tuple[str, AnyAttack]:
    """Return the run's first untargeted attack of one of some kinds, with its name; else a default, freely named."""
    attacks = study.run.attacks()
    for each, attack in attacks.items():
        if isinstance(attack, kinds) and not attack.targeted:
            return each, attack
    return f"{name}, default" if name in attacks else name, default


def fgsm_and_bim(study: Study) -> tuple[tuple[str, FGSM], tuple[str, BIM]]:
    """Return the run's FGSM and BIM, or such of a budget that suits photographs, with their names."""
    fgsm = of_kind(study, (FGSM,), "fgsm", FGSM(epsilon=0.03))
    return fgsm, of_kind(study, (BIM,), "bim", BIM(epsilon=0.03, step_size=0.005))
