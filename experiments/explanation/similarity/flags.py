"""What `evaluate.py similarity` says about itself."""

from typing import Final

from experiments.explanation.similarity.measured import METRICS, OTHERS
from experiments.explanation.similarity.records import Similarities
from experiments.results.result import Flag

MANY_UNDEFINED: Final = 0.05
"""Share of similarities that are not defined, from which their mean is of a selection."""

_ROUNDING: Final = 1e-6


def flags(found: Similarities) -> list[Flag]:
    """Return all flags."""
    return [_succeeds(found), _unmoved(found), _deterministic(found), _undefined(found)]


def _succeeds(found: Similarities) -> Flag:
    measured = found.measured
    fooled = {f"{each.epsilon:g}": int(measured.fooled(each).sum()) for each in found.untargeted}
    reached = [
        version.target
        for version in found.targets
        if ((measured.predictions[version] == version.target) & measured.fooled(version)).any()
    ]
    told = ", ".join(f"{count} at epsilon {epsilon}" for epsilon, count in fooled.items())
    sentence = (
        f"Of {len(measured.explained.images)} images the untargeted attack fools {told}; the targeted one makes some "
        f"image reach {len(reached)} of {len(found.targets)} targets."
    )
    return Flag("The attacks succeed", not any(fooled.values()) or not reached, sentence)


def _unmoved(found: Similarities) -> Flag:
    apart = {
        method: max((1 - values).nan_to_num().abs().max().item() for values in each.likeness.values())
        for method, each in found.measured.unmoved.items()
    }
    worst = max(apart, key=lambda method: apart[method])
    sentence = f"Under FGSM of epsilon 0 similarities differ from 1 by at most {apart[worst]:.2g} ({worst})."
    return Flag("Epsilon 0 leaves a similarity of 1", apart[worst] > _ROUNDING, sentence)


def _deterministic(found: Similarities) -> Flag:
    moved = {method: each.difference for method, each in found.measured.unmoved.items()}
    worst = max(moved, key=lambda method: moved[method])
    sentence = f"Maps of the same images made twice differ by at most {moved[worst]:.2g} ({worst})."
    return Flag("Maps are deterministic", moved[worst] > 0, sentence)


def _undefined(found: Similarities) -> Flag:
    shares = {}
    for method in found.methods:
        for metric, title in {**METRICS, **OTHERS}.items():
            count, whole = found.undefined(method, metric)
            shares[f"{method}, {title}"] = count / whole
    many = {name: share for name, share in shares.items() if share > MANY_UNDEFINED}
    told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in many.items()) or "none"
    sentence = (
        f"More than {100 * MANY_UNDEFINED:g} % of the similarities are not defined, for a map is constant: {told}."
    )
    return Flag("Similarities are defined", bool(many), sentence)
