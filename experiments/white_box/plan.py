"""How much a white-box evaluation runs: the presets, and single options in their place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from attacks.errors import InputError, nearest

Mode = Literal["worst", "table"]
PresetName = Literal["quick", "standard", "thorough"]


@dataclass(frozen=True)
class Plan:
    """How much is run.

    Attributes:
        mode: table: every attack gets every image; worst: a cascade, in which an attack gets only the images,
            classified right, that no attack before it has won. The paper's attacks and the control get every image.
        restarts: Restarts of each walk that is aimed at the false-positive rate.
        goals: Nearest classes to which each such walk goes as well.
        curve_images: Images of the curves and of the price of detection; 0: neither.
        attacks: Names of the attacks that run beside the paper's and the control; None: all.
    """

    mode: Mode = "table"
    steps: int = 100
    restarts: int = 1
    goals: int = 0
    curve_images: int = 50
    attacks: Sequence[str] | None = None


PRESETS: Final[Mapping[str, Plan]] = {
    "quick": Plan("worst", steps=30, curve_images=0, attacks=("hinged", "hinged_textured")),
    "standard": Plan(
        "worst",
        steps=60,
        attacks=("hinged", "hinged_textured", "hinged_parts", "lagrangian", "selective", "transfer", "square"),
    ),
    "thorough": Plan("worst", steps=200, restarts=3, goals=3),
}


def chosen(preset: str | None, names: Sequence[str], **given: Any) -> Plan:
    """Return the plan of a preset (None: the defaults), with the options given (those that are not None) in its place.

    Args:
        preset: Name of the preset.
        names: Those that `attacks` may hold.
        given: Values by the names of `Plan`.
    """
    plan = Plan() if preset is None else PRESETS[preset]
    wanted = given.get("attacks") or ()
    if not set(wanted) <= set(names):
        msg = f"suite_attacks must be some of {', '.join(names)}; got {', '.join(wanted)}"
        raise InputError(msg + "".join(nearest(name, names) for name in wanted if name not in names))
    return replace(plan, **{name: value for name, value in given.items() if value is not None})
