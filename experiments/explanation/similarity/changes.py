"""What is done to all images before their maps are compared with those of the clean images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import torch

from attacks.errors import InputError
from saliency.maps.reduction import REDUCTIONS, Reduction

Kind = Literal["clean", "untargeted", "targeted", "sign noise", "fresh noise", "another image"]

EPSILONS: Final = (0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5)
"""The last five are the paper's .2 to 1 on images in [-1, 1]."""

TARGETED_EPSILON: Final = 0.2
"""The paper's .4."""

MANY, FEW = 20, 10
"""Classes up to which all are targets, and the number of targets where there are more."""


@dataclass(frozen=True)
class Change:
    """A change of all images.

    Attributes:
        kind: `fresh noise`: the clean image, and another seed of what is random in a method; `another image`: the next
            of the clean ones.
        epsilon: L-inf size of what is added; None: nothing is.
        target: Class that the attack is to reach. None of a targeted attack: the mean over all targets.
    """

    kind: Kind
    epsilon: float | None = None
    target: int | None = None

    def __str__(self) -> str:
        """Return it as shown beside a progress bar."""
        size = "" if self.epsilon is None else f" {self.epsilon:g}"
        return f"{self.kind}{size}" + ("" if self.target is None else f" to {self.target}")


CLEAN: Final = Change("clean")
ANOTHER: Final = Change("another image")
SECOND_SEED: Final = Change("fresh noise")


@dataclass(frozen=True)
class SimilaritySettings:
    """Which changes are made, and how maps are compared.

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

    @property
    def untargeted(self) -> list[Change]:
        """The untargeted attack, of each size."""
        return [Change("untargeted", epsilon) for epsilon in self.epsilons]

    @property
    def targeted(self) -> list[Change]:
        """The targeted attack, towards each target."""
        return [Change("targeted", self.targeted_epsilon, target) for target in self.targets]

    @property
    def all_targets(self) -> Change:
        """What stands for the mean over all targets."""
        return Change("targeted", self.targeted_epsilon)

    def changes(self) -> Iterator[Change]:
        """Yield the changes for which maps are made, beside the clean images."""
        for attack in self.untargeted:
            yield attack
            yield Change("sign noise", attack.epsilon)
        yield from self.targeted
        yield SECOND_SEED


def settings_of(
    classes: int,
    epsilons: Sequence[float] = EPSILONS,
    targeted_epsilon: float = TARGETED_EPSILON,
    targets: Sequence[int] | None = None,
    reduction: Reduction = "mean",
    resamples: int = 1000,
) -> SimilaritySettings:
    """Return the settings that the options ask for.

    Args:
        classes: How many there are.
        epsilons: In any order.
        targeted_epsilon: In (0, 1].
        targets: None: all classes, or `FEW` that lie evenly among more than `MANY`.
        reduction: See `SimilaritySettings`, as for the others.
        resamples: At least 1.

    Raises:
        ValueError: If one is out of its range.
    """
    sizes = sorted(set(epsilons))
    evenly = torch.linspace(0, classes - 1, classes if classes <= MANY else FEW).round().int().tolist()
    aims = evenly if targets is None else list(dict.fromkeys(targets))
    if not sizes or not all(0 < epsilon <= 1 for epsilon in [*sizes, targeted_epsilon]):
        msg = f"epsilons and targeted_epsilon must lie in (0, 1], got {sizes} and {targeted_epsilon}"
        raise InputError(msg)
    if not aims or not all(0 <= target < classes for target in aims):
        msg = f"targets must be classes from 0 to {classes - 1}, at least one, or null; got {targets}"
        raise InputError(msg)
    if reduction not in REDUCTIONS:
        msg = f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}"
        raise InputError(msg)
    return SimilaritySettings(sizes, targeted_epsilon, aims, reduction, resamples)
