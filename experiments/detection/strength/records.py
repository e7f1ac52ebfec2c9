"""The records of the attacks' strength: success, sizes of the changes and cost of each attack."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

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
    """What an attack takes per image, on a sample with so many threads; and whether it gives the same images twice."""

    images: int
    forward_passes: float
    backward_passes: float
    seconds: float
    threads: int
    repeatable: bool


@dataclass(frozen=True)
class StrengthRecords:
    """The test images under an attack, measured anew.

    Attributes:
        rows: A row for each subset of the images and each norm.
        right: Number of images predicted right before.
        success_rate: Share of these that are wrong after; None if there are none.
        fooled: Whether each test image is right before and wrong after.
        l2: The L2 norm of each test image's change.
        violations: Images that lie outside [0, 1] or the attack's budget.
        changed: Images whose stored prediction differs from the one made now.
        cost: On a sample.
    """

    name: str
    attack: AttackSettings
    rows: Sequence[dict[str, Any]]
    right: int
    success_rate: float | None
    fooled: Sequence[bool]
    l2: Sequence[float]
    violations: int
    changed: int
    cost: Cost
