"""The finding and the flags of the detection matrix."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from experiments.detection.tables import budget_flag, idle_flag, listing_flag, noise_flag
from experiments.detection.transfer.records import Ranking, Standing, TransferRecords
from experiments.results.bootstrap import Interval
from experiments.results.levels import SEEDS, WORKING_RATE, mistakes_noise
from experiments.results.result import Flag
from experiments.results.verdicts import FEWEST, all_above, counted

_SLACK: Final = 0.03
"""How far the realised false-positive rate may lie above twice the binomial error of 5 % before it is flagged."""


def finding(ranking: Ranking, meta: Mapping[str, Any]) -> str:
    """Return the results of the best learnt and the best training-free detector on attacks that neither was trained on.

    Args:
        ranking: All detectors, best first.
        meta: The protocol's meta data, of which seeds and test_images are read.
    """
    ranked = ranking.standings
    by_kind = [next((standing for standing in ranked if standing.learnt is learnt), None) for learnt in (True, False)]
    best = [standing for standing in by_kind if standing is not None]
    if not best:
        return (
            "Nothing can be said about attacks that a detector was not trained on: that takes two attacks, and a "
            "detector that was trained on one of them alone."
        )
    kinds = {True: "learnt", False: "training-free"}
    means = " and ".join(
        f"{standing.detector} with {standing.area.value:.3f} ({kinds[standing.learnt]})" for standing in best
    )
    noise = " and ".join(f"{standing.detector} {standing.against_noise.value:.3f}" for standing in best)
    subset = ranking.subset
    mostly = ", for most attacks fail on most images" if subset == "successful" else ""
    return (
        f"{_on_seeds(len(meta['seeds']))} best mean AUROC on attacks that a detector was not trained on ({subset} "
        f"pairs{mostly}): {means}. Against noise of the same norms instead of clean images: {noise}. These "
        f"are means over {counted(best[0].cells, 'cells')} of at least {min(each.area.n for each in best)} pairs. "
        f"{_apart(best, ranking.kinds_apart, meta)}"
    )


def _on_seeds(seeds: int) -> str:
    return "On this one seed the" if seeds == 1 else "On these two seeds the" if seeds < SEEDS else "The"


def _apart(best: Sequence[Standing], ends: Interval | None, meta: Mapping[str, Any]) -> str:
    """Return whether the two best detectors differ, if that is decided."""
    images = min([meta["test_images"], *(standing.area.n for standing in best)])
    if images < FEWEST:
        return f"They decide nothing: {images} pairs are too few, it takes {FEWEST}."
    if ends is None:
        return "There is no detector of the other kind to compare it with."
    between = f"the interval of their difference is {ends.low:+.3f} to {ends.high:+.3f}"
    if len(meta["seeds"]) < SEEDS:
        return f"For the images alone {between}; other seeds may differ, and a claim needs three."
    verdict = all_above([ends])
    if verdict == "not decided":
        return f"Which of the two finds more is not decided: {between}."
    first, second = best if verdict == "holds" else best[::-1]
    return f"Decided: {first.detector} finds more than {second.detector}; {between}."


def flags_of(records: TransferRecords, meta: Mapping[str, Any]) -> list[Flag]:
    """Return the flags."""
    rows = records.rows
    expected = WORKING_RATE + _SLACK + 2 * (WORKING_RATE * (1 - WORKING_RATE) / meta["test_images"]) ** 0.5
    rates = {
        f"{row.detector} {row.trained_on or ''} {row.seed if row.seed is not None else ''}".strip(): rate
        for row in rows
        if (rate := row.metrics["realised_fpr"]) is not None
    }
    realised = listing_flag(
        "Realised false-positive rate",
        [f"{name} ({rate:.3f})" for name, rate in rates.items() if rate > expected],
        f"The 5 % thresholds let through more than {expected:.3f} of the clean test images for {{}}.",
        f"No 5 % threshold flags more than {expected:.3f} of the clean test images.",
    )
    on_all = [row.metrics for row in rows if row.subset == "all"]
    noisy = sum(mistakes_noise(metrics["auroc"], metrics["auroc_against_noise"]) for metrics in on_all)
    seeds = len(meta["seeds"])
    return [
        idle_flag(sorted({row.tested_on for row in rows if not row.metrics["attack_success_rate"]})),
        realised if rates else Flag(realised.name, None, realised.sentence),
        Flag(
            "Detectors of noise",
            noisy > 0,
            f"{noisy} of {len(on_all)} cells have an AUROC of at least .75 against clean images and below .6 against "
            "noise of the same norms: there noise is found, not attacks.",
        ),
        noise_flag(records.noise_ratios),
        budget_flag(records.budgets),
        Flag("Few seeds", seeds < SEEDS, f"{counted(seeds, 'seeds')} of detector training; a claim needs {SEEDS}."),
    ]
