"""Flags of `evaluate.py similarity`: checks of its own validity."""

from collections.abc import Mapping
from typing import Final

from experiments.explanation.similarity.records import METRICS, OTHERS, SimilarityRecords
from experiments.results.result import Flag

MANY_UNDEFINED: Final = 0.05
"""Share of undefined similarities above which a mean counts as a selection."""

_ROUNDING: Final = 1e-6


def flags(records: SimilarityRecords) -> list[Flag]:
    """Return all flags."""
    apart = {method: again.apart for method, again in records.again.items()}
    moved = {method: again.difference for method, again in records.again.items()}
    unmoved = f"Under FGSM of epsilon 0 similarities differ from 1 by at most {_worst(apart)}."
    same = f"Maps of the same images made twice differ by at most {_worst(moved)}."
    return [
        _succeeds(records),
        Flag("Epsilon 0 leaves a similarity of 1", max(apart.values()) > _ROUNDING, unmoved),
        Flag("Maps are deterministic", max(moved.values()) > 0, same),
        _undefined(records),
    ]


def _worst(by_method: Mapping[str, float]) -> str:
    method = max(by_method, key=lambda method: by_method[method])
    return f"{by_method[method]:.2g} ({method})"


def _succeeds(records: SimilarityRecords) -> Flag:
    fooled = {f"{attack.epsilon:g}": records.fooled[attack] for attack in records.settings.untargeted}
    reached = records.targets_reached
    counts = ", ".join(f"{count} at epsilon {epsilon}" for epsilon, count in fooled.items())
    sentence = (
        f"Of {records.count} images the untargeted attack fools {counts}. The targeted one reaches {reached} of "
        f"{len(records.settings.targets)} targets with some image."
    )
    return Flag("The attacks succeed", not any(fooled.values()) or not reached, sentence)


def _undefined(records: SimilarityRecords) -> Flag:
    many = []
    for method in records.methods:
        for metric, title in {**METRICS, **OTHERS}.items():
            count, whole = records.undefined(method, metric)
            if count / whole > MANY_UNDEFINED:
                many.append(f"{method}, {title} {100 * count / whole:.0f} %")
    sentence = (
        f"More than {100 * MANY_UNDEFINED:g} % of the similarities are not defined, because a map is constant: "
        f"{', '.join(many) or 'none'}."
    )
    return Flag("Similarities are defined", bool(many), sentence)
