"""What the detection matrix says, and what the evaluation says about itself."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from experiments.detection.tables import idle_flag, listing_flag
from experiments.detection.transfer.contrasts import Contrast
from experiments.results.records import Rows
from experiments.results.result import Flag
from experiments.study.metrics import SEEDS, WORKING_RATE, mistakes_noise

_SLACK: Final = 0.03
"""How far the realised false-positive rate may lie above twice the binomial error of 5 % before it is flagged."""


def finding(rows: Rows, contrasts: Sequence[Contrast]) -> str:
    """Return what the numbers say, best detector first, also where it is a training-free one."""
    one_attack = {None, *(row["tested_on"] for row in rows)}
    unseen: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        counts = row["subset"] == "all" and None not in {row["auroc"], row["auroc_against_noise"]}
        if counts and row["trained_on"] != row["tested_on"] and row["trained_on"] in one_attack:
            unseen.setdefault(row["detector"], []).append(row)
    if not unseen:
        return (
            "Nothing can be said about attacks that a detector was not trained on: that takes two attacks, and a "
            "detector that was trained on one of them alone."
        )
    means, against = (
        {name: sum(row[key] for row in known) / len(known) for name, known in unseen.items()}
        for key in ("auroc", "auroc_against_noise")
    )
    ranked = [name for _, name in sorted(((value, name) for name, value in means.items()), reverse=True)]
    ending = ", unseen attacks"
    beside = {row["name"].removesuffix(ending): row for row in contrasts if row["name"].endswith(ending)}
    won = [name.replace(" - ", " ahead of ") for name, row in beside.items() if row["low"] > 0]
    lost = [name.replace(" - ", " behind ") for name, row in beside.items() if row["high"] < 0]
    return (
        "Mean AUROC on attacks that a detector was not trained on: "
        f"{', '.join(f'{name} {means[name]:.3f}' for name in ranked)}. Against noise of the same norms instead of "
        f"clean images: {', '.join(f'{name} {against[name]:.3f}' for name in ranked)}. Decided at 95 %: "
        f"{', '.join([*won, *lost]) or 'no difference'}."
    )


def flags(rows: Rows, meta: Mapping[str, Any]) -> list[Flag]:
    """Return what was checked."""
    expected = WORKING_RATE + _SLACK + 2 * (WORKING_RATE * (1 - WORKING_RATE) / meta["test_images"]) ** 0.5
    rates = {
        f"{row['detector']} {row['trained_on'] or ''} {row['seed'] if row['seed'] is not None else ''}".strip(): rate
        for row in rows
        if (rate := row["realised_fpr"]) is not None
    }
    realised = listing_flag(
        "Realised false-positive rate",
        [f"{name} ({rate:.3f})" for name, rate in rates.items() if rate > expected],
        f"The 5 % thresholds let through more than {expected:.3f} of the clean test images for {{}}.",
        f"No 5 % threshold flags more than {expected:.3f} of the clean test images.",
    )
    every = [row for row in rows if row["subset"] == "all"]
    noisy = sum(mistakes_noise(row["auroc"], row["auroc_against_noise"]) for row in every)
    seeds = len(meta["seeds"])
    return [
        idle_flag(sorted({row["tested_on"] for row in rows if not row["attack_success_rate"]})),
        realised if rates else Flag(realised.name, None, realised.sentence),
        Flag(
            "Detectors of noise",
            noisy > 0,
            f"{noisy} of {len(every)} cells have an AUROC of at least .75 against clean images and below .6 against "
            "noise of the same norms: there noise is found, not attacks.",
        ),
        Flag("Few seeds", seeds < SEEDS, f"{seeds} seed(s) of detector training; a claim needs {SEEDS}."),
    ]
