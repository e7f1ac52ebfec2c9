"""The flags of the threshold study."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from experiments.detection.tables import budget_flag, listing_flag, noise_flag
from experiments.detection.threshold.records import ThresholdRecords, ThresholdRow, curves_of, values_of
from experiments.results.levels import DETECTED, NOISY, mistakes_noise
from experiments.results.records import mean_known
from experiments.results.result import Flag
from experiments.results.two_samples import weaker

_SURE: Final = 0.95
"""Success rate that a very large epsilon should reach."""

_CHANCE: Final = 0.5


def flags_of(records: ThresholdRecords, large: Mapping[str, float]) -> list[Flag]:
    """Return the flags. `large` are the budgets of `budgets.unusual`."""
    rows = records.rows
    checks = [_zero(rows), _growth(rows), _largest(rows), _noise(rows)]
    return [*checks, noise_flag(records.noise_ratios), budget_flag(large)]


def _rates(rows: Sequence[ThresholdRow]) -> dict[str, dict[float, tuple[float | None, int]]]:
    """Return success rate and number of images that it is of, by attack and epsilon."""
    rates: dict[str, dict[float, tuple[float | None, int]]] = {}
    for row in rows:
        rates.setdefault(row.attack, {})[row.epsilon] = row.attack_success_rate, row.right_before
    return rates


def _zero(rows: Sequence[ThresholdRow]) -> Flag:
    """Epsilon 0 against the clean result (D18)."""
    name = "Epsilon 0 is not the clean result"
    zero = [row for row in rows if row.epsilon == 0 and row.subset == "all"]
    if not zero:
        return Flag(name, None, "Epsilon 0 is not among the sizes.")
    wrong = [
        f"{row.detector} on {row.attack} {'-' if (area := row.metrics['auroc']) is None else format(area, '.6f')}"
        for row in zero
        if row.median_l2 or row.attack_success_rate or row.metrics["auroc"] not in {None, _CHANCE}
    ]
    return listing_flag(
        name,
        wrong,
        "At epsilon 0 the AUROC is not exactly .5, or images changed: {}.",
        f"At epsilon 0 no image changed and the AUROC is exactly .5 in all {len(zero)} cases.",
    )


def _growth(rows: Sequence[ThresholdRow]) -> Flag:
    """Success against epsilon (D18)."""
    falls = []
    comparable = False
    for attack, rates in _rates(rows).items():
        for (small, (rate, count)), (large, (other, other_count)) in pairwise(rates.items()):
            lost = weaker(other, other_count, rate, count)
            comparable = comparable or lost is not None
            if lost:
                falls.append(f"{attack} from {rate:.3f} at {small:g} to {other:.3f} at {large:g}")
    return Flag(
        "A larger budget succeeds less",
        bool(falls) if comparable else None,
        f"The success rate falls, beyond its binomial interval: {'; '.join(falls)}."
        if falls
        else "No success rate falls with epsilon beyond its binomial interval.",
    )


def _largest(rows: Sequence[ThresholdRow]) -> Flag:
    """Success at the largest epsilon (D18)."""
    last = {attack: max(rates.items()) for attack, rates in _rates(rows).items()}
    strongest = {attack: (rate, epsilon) for attack, (epsilon, (rate, _)) in last.items() if rate is not None}
    shown = ", ".join(f"{attack} {rate:.3f} at {epsilon:g}" for attack, (rate, epsilon) in strongest.items())
    return Flag(
        "A very large budget does not always succeed",
        any(rate < _SURE for rate, _ in strongest.values()) if strongest else None,
        f"Success rates at the largest epsilon: {shown or 'none'}; about 1 is expected of an iterative attack, at "
        f"least {_SURE}, while a single step may overshoot.",
    )


def _noise(rows: Sequence[ThresholdRow]) -> Flag:
    """Detection of any change of that size (A5)."""
    noisy: dict[str, list[str]] = {}
    for (attack, detector, _, subset), points in curves_of(rows).items():
        for size, seeds in points.items():
            clean, noise = (mean_known(values_of(seeds, name)) for name in ("auroc", "auroc_against_noise"))
            if subset == "all" and size > 0 and mistakes_noise(clean, noise):
                noisy.setdefault(f"{detector} on {attack}", []).append(f"{size:g}")
    return listing_flag(
        "Detectors of noise",
        [f"{name} at {' '.join(sizes)}" for name, sizes in noisy.items()],
        f"AUROC at least {DETECTED} against clean images and below {NOISY} against noise of the same norms, all "
        "pairs: {}. There noise is found, not attacks.",
        f"No cell has an AUROC of at least {DETECTED} against clean images and below {NOISY} against noise.",
    )
