"""The records of the attacks' strength: success, sizes of the changes and cost of each attack."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from experiments.results.bootstrap import clopper_pearson
from experiments.results.two_samples import spread_of

SUBSETS: Final = ("successful", "all")

NORMS: Final = {"l0": "L0 (values changed)", "l2": "L2", "rms": "RMS", "linf": "L-inf"}
"""The measured sizes, with their names in tables."""

LARGE: Final = {"rms": 0.025, "linf": 0.5}
"""What the paper's Table 2 sets in bold: norms at least so large."""

TWICE: Final = 8
"""Images that are attacked twice."""


@dataclass(frozen=True)
class AttackSettings:
    """The settings of an attack that flags compare.

    Attributes:
        classes: Names of its class and its base classes.
        norm_family: The norm that it bounds or makes small; None: none, or more than one.
        epsilon: Its budget; None: it has none.
        steps: Number of its steps; 1 for an attack without this setting.
        confidence: The margin that it aims at; None: it has no such setting.
    """

    classes: tuple[str, ...]
    norm_family: str | None
    epsilon: float | None = None
    steps: int = 1
    confidence: float | None = None


@dataclass(frozen=True)
class Cost:
    """What an attack takes per image, on a sample; and whether a second attack gives the same images."""

    images: int
    forward_passes: float
    backward_passes: float
    seconds: float
    repeatable: bool


@dataclass(frozen=True)
class StrengthRecords:
    """The test images under an attack, measured anew.

    Attributes:
        sizes: (M,) of each image's change, by norm.
        in_range: (M,) bool, whether the adversarial image lies in [0, 1].
        right: (M,) bool, predicted right before.
        fooled: (M,) bool, right before and wrong after.
        fooled_rounded: (M,) bool, the same with the images rounded to 8 bits.
        changed: Images whose stored prediction differs from the one made now.
        cost: On a sample.
    """

    name: str
    attack: AttackSettings
    sizes: Mapping[str, Tensor]
    in_range: Tensor
    right: Tensor
    fooled: Tensor
    fooled_rounded: Tensor
    changed: int
    cost: Cost

    @property
    def success_rate(self) -> float | None:
        """Share of the images predicted right before that are wrong after; None if there are none."""
        return self._rate(self.fooled)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row for each subset of the images and each norm."""
        return [self._row(subset, norm) for subset in SUBSETS for norm in NORMS]

    def _row(self, subset: str, norm: str) -> dict[str, Any]:
        chosen = self.fooled if subset == "successful" else torch.ones_like(self.fooled)
        spread = spread_of(self.sizes[norm][chosen])
        mean = spread["mean"]
        return {
            "attack": self.name,
            "subset": subset,
            "norm": norm,
            "n": int(chosen.sum()),
            **spread,
            "large": None if norm not in LARGE or mean is None else mean >= LARGE[norm],
            **self._rate_with_ends("success_rate", self.fooled),
            **self._rate_with_ends("success_rate_rounded", self.fooled_rounded),
            "right_before": int(self.right.sum()),
            "forward_passes": self.cost.forward_passes,
            "backward_passes": self.cost.backward_passes,
        }

    def _rate_with_ends(self, name: str, fooled: Tensor) -> dict[str, float | None]:
        rate = self._rate(fooled)
        if rate is None:
            return {name: None, f"{name}_low": None, f"{name}_high": None}
        ends = clopper_pearson(rate, int(self.right.sum()))
        return {name: rate, f"{name}_low": ends.low, f"{name}_high": ends.high}

    def _rate(self, fooled: Tensor) -> float | None:
        count = int(self.right.sum())
        return int(fooled.sum()) / count if count else None
