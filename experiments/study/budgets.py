"""Rules about the budgets of attacks: their norm, and budgets that are too large."""

from collections.abc import Mapping
from dataclasses import replace

from attacks import Attack
from experiments.results.levels import LARGE_LINF


def is_linf(attack: Attack) -> bool:
    """Return whether the attack has an L-inf budget, named epsilon."""
    return hasattr(attack, "epsilon") and attack.norm_family == "linf"


def unusual(attacks: Mapping[str, Attack], channels: int) -> dict[str, float]:
    """Return the L-inf budgets that are too large for colour images, as those of recipes for grey digits are."""
    budgets = {name: float(attack.epsilon) for name, attack in attacks.items() if is_linf(attack)}  # type: ignore[attr-defined]
    return {name: epsilon for name, epsilon in budgets.items() if channels > 1 and epsilon > LARGE_LINF}


def resized(attack: Attack, epsilon: float) -> Attack:
    """Return an attack whose epsilon is above 0 with another epsilon, and its step size in proportion."""
    budget: float = attack.epsilon  # type: ignore[attr-defined]
    if epsilon == budget:
        return attack
    step = getattr(attack, "step_size", None)
    changes = {"epsilon": epsilon} | ({} if step is None else {"step_size": step * epsilon / budget})
    return replace(attack, **changes)
