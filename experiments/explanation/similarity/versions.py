"""The versions of an image whose maps are compared with those of the clean one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch
from torch import Tensor

from attacks import FGSM
from experiments.explanation.subject import Explained
from saliency.maps.reduction import REDUCTIONS, Reduction

Kind = Literal["clean", "untargeted", "targeted", "sign noise", "fresh noise", "another image"]

MANY: Final = 20
"""Classes up to which all are targets."""

FEW: Final = 10
"""Targets where there are more."""

FRESH: Final = 1
"""Seed of the maps that are made again with other noise."""


@dataclass(frozen=True)
class Version:
    """A version of all images.

    Attributes:
        kind: How it is made. `fresh noise`: the clean image, and another seed of what is random in a method;
            `another image`: the next of the clean ones.
        epsilon: L-inf size of what is added; None: nothing is.
        target: Class that the attack is to reach; None: there is none.
    """

    kind: Kind
    epsilon: float | None = None
    target: int | None = None

    def __str__(self) -> str:
        """Return it as shown beside a progress bar."""
        size = "" if self.epsilon is None else f" {self.epsilon:g}"
        return f"{self.kind}{size}" + ("" if self.target is None else f" to {self.target}")


CLEAN: Final = Version("clean")
ANOTHER: Final = Version("another image")
SECOND_SEED: Final = Version("fresh noise")


@dataclass(frozen=True)
class Plan:
    """Which versions are made, and how maps of several channels become one.

    Attributes:
        epsilons: Of the untargeted attack and of the noise, rising, in (0, 1].
        targeted_epsilon: Of the targeted one.
        targets: The classes that it aims at.
        reduction: See `saliency.maps.reduction.reduce`.
        resamples: Of the bootstrap.
    """

    epsilons: Sequence[float]
    targeted_epsilon: float
    targets: Sequence[int]
    reduction: Reduction
    resamples: int

    @property
    def reference(self) -> float:
        """The epsilon of the untargeted attack that is nearest to the targeted one's, the larger of two."""
        return min(self.epsilons, key=lambda epsilon: (round(abs(epsilon - self.targeted_epsilon), 9), -epsilon))

    def versions(self) -> Iterator[Version]:
        """Yield the versions beside the clean one that are images or maps of their own."""
        for epsilon in self.epsilons:
            yield Version("untargeted", epsilon)
            yield Version("sign noise", epsilon)
        for target in self.targets:
            yield Version("targeted", self.targeted_epsilon, target)
        yield SECOND_SEED

    def meta(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return {
            "epsilons": list(self.epsilons),
            "targeted_epsilon": self.targeted_epsilon,
            "targets": list(self.targets),
            "reduction": self.reduction,
            "resamples": self.resamples,
        }


EPSILONS: Final = (0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5)
"""The last five are the paper's .2 to 1 on images in [-1, 1]."""

TARGETED: Final = 0.2
"""The paper's .4."""


def plan_of(explained: Explained) -> Plan:
    """Return what the options ask for.

    Args:
        explained: Its study's options: epsilons, targeted_epsilon, targets (None: all classes, or ten that lie evenly
            among more than twenty), reduction, resamples.

    Raises:
        ValueError: If one is out of its range.
    """
    options, classes = explained.study.options, explained.logits.shape[1]
    epsilons = sorted(set(options.get("epsilons", EPSILONS)))
    targeted = options.get("targeted_epsilon", TARGETED)
    given = options.get("targets")
    targets = _spread(classes) if given is None else list(dict.fromkeys(given))
    reduction = options.get("reduction", "mean")
    if not epsilons or not all(0 < epsilon <= 1 for epsilon in [*epsilons, targeted]):
        msg = f"epsilons and targeted_epsilon must lie in (0, 1], got {epsilons} and {targeted}"
        raise ValueError(msg)
    if not targets or not all(0 <= target < classes for target in targets):
        msg = f"targets must be classes from 0 to {classes - 1}, at least one, or null; got {given}"
        raise ValueError(msg)
    if reduction not in REDUCTIONS:
        msg = f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}"
        raise ValueError(msg)
    return Plan(epsilons, targeted, targets, reduction, options.get("resamples", 1000))


def _spread(classes: int) -> list[int]:
    if classes <= MANY:
        return list(range(classes))
    return [int(place) for place in torch.linspace(0, classes - 1, FEW).round()]


def images_of(version: Version, explained: Explained) -> Tensor:
    """Return a version of the images, (n, C, H, W) in [0, 1].

    Args:
        version: Not `another image`, which is no other image but another order.
        explained: Gives classifier and clean images; the attacks are FGSM, from the predicted classes.
    """
    clean = explained.images
    if version.epsilon is None:
        return clean
    if version.kind == "sign noise":
        return sign_noise(clean, version.epsilon)
    attack = FGSM(epsilon=version.epsilon, targeted=version.target is not None)
    labels = explained.predictions if version.target is None else torch.full((len(clean),), version.target)
    return explained.attacked(attack, clean, labels, about=str(version))


def sign_noise(images: Tensor, epsilon: float) -> Tensor:
    """Return images (n, C, H, W) with noise of -epsilon or epsilon in each value, clipped to [0, 1].

    What FGSM adds has these values too. Each image's draws derive from its row alone, and are those of every epsilon.

    Args:
        images: In [0, 1].
        epsilon: At least 0.
    """
    signs = torch.empty_like(images)
    for row, each in enumerate(signs):
        each.copy_(torch.randint(0, 2, each.shape, generator=torch.Generator().manual_seed(row)) * 2 - 1)
    return (images + epsilon * signs).clamp(0, 1)
