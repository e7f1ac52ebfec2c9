"""Rules about attacks with a budget: their norm, and whether one falls behind another."""

from collections.abc import Mapping
from typing import Final

from attacks import Attack

LARGE_LINF: Final = 16 / 255
"""L-inf budget above which a change of a colour image is not small by any custom."""

_SURE: Final = 1.96
"""Standard errors in a 95 % interval."""


def weaker(rate: float | None, count: int, other: float | None, other_count: int) -> bool | None:
    """Return whether a success rate of some images lies below another, outside the 95 % binomial interval.

    None where a rate does not exist.
    """
    if rate is None or other is None:
        return None
    variances = [
        (share * n + 1) / (n + 2) * (1 - (share * n + 1) / (n + 2)) / n  # one success and one failure more: never 0
        for share, n in ((rate, count), (other, other_count))
    ]
    return other - rate > _SURE * float(sum(variances) ** 0.5)


def is_linf(attack: Attack) -> bool:
    """Return whether the attack has an L-inf budget, named epsilon."""
    return hasattr(attack, "epsilon") and attack.norm_family == "linf"


def unusual(attacks: Mapping[str, Attack], channels: int) -> dict[str, float]:
    """Return the L-inf budgets that are too large for colour images, as those of recipes for grey digits are."""
    budgets = {name: float(attack.epsilon) for name, attack in attacks.items() if is_linf(attack)}  # type: ignore[attr-defined]
    return {name: epsilon for name, epsilon in budgets.items() if channels > 1 and epsilon > LARGE_LINF}
