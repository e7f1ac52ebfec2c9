"""Changes of all images, whose maps are then compared with those of the clean images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from saliency.maps.reduction import Reduction

Kind = Literal["clean", "untargeted", "targeted", "sign noise", "fresh noise", "another image"]


@dataclass(frozen=True)
class Change:
    """A change of all images.

    Attributes:
        kind: `fresh noise`: the clean images, and another seed for methods that draw noise; `another image`: each
            image's neighbour.
        epsilon: L-inf size of the added perturbation; None: none is added.
        target: Class that a targeted attack is to reach; None: the mean over all targets.
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
    """The changes of the images, and the measures that compare maps.

    Attributes:
        epsilons: Sizes of the untargeted attack and of the noise, rising, in (0, 1].
        targeted_epsilon: Size of the targeted attack, in (0, 1].
        targets: The targeted attack's classes.
        reduction: How maps of several channels become one; see `saliency.maps.reduction.reduce`.
    """

    epsilons: Sequence[float]
    targeted_epsilon: float
    targets: Sequence[int]
    reduction: "Reduction"
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
        """The mean over all targets."""
        return Change("targeted", self.targeted_epsilon)

    def changes(self) -> Iterator[Change]:
        """Yield the changes for which maps are made, beside the clean images."""
        for attack in self.untargeted:
            yield attack
            yield Change("sign noise", attack.epsilon)
        yield from self.targeted
        yield SECOND_SEED
