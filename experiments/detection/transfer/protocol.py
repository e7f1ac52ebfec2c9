"""`evaluate.py transfer`: detectors x trained-on x tested-on (Schut & Gal, 2020, Figure 2 and appendix G)."""

from typing import Any, Final

from experiments.detection.transfer.contrasts import contrasts, difference_table
from experiments.detection.transfer.controls import control_table, underflow
from experiments.detection.transfer.matrix import Matrix, summary
from experiments.detection.transfer.tables import flags, left_out_tables, matrix_tables, worst_table
from experiments.results.bootstrap import Resampling
from experiments.results.charts import grouped_bars, heat_maps
from experiments.results.result import Result
from experiments.study.study import Study


def transfer(study: Study, *, resamples: int = 1000) -> Result:
    """Return the table of every detector under every attack.

    Args:
        study: Of a run whose detectors are trained.
        resamples: Bootstrap resamples of the intervals.

    Raises:
        FileNotFoundError: If a stage is missing; says which command makes it.
    """
    field = study.contenders
    resampling = Resampling(len(study.images.clean), resamples)
    matrix = Matrix(study, resampling)
    rows: list[dict[str, Any]] = []
    for name in study.progress.track(study.attacks, description="scores under each attack"):
        for contender in field:
            rows += matrix.rows(contender, study.under(name))
    order = {(contender.name, contender.trained_on, contender.seed): place for place, contender in enumerate(field)}
    rows.sort(key=lambda row: order[row["detector"], row["trained_on"], row["seed"]])
    accuracy = study.under(study.attacks[0]).clean_accuracy
    found = contrasts(study, matrix)
    meta = study.meta() | {
        "classifier_accuracy": accuracy,
        "resamples": resampling.resamples,
        "contrasts": found,
        "underflow": underflow(study.classifier, study.images.clean, study.device),
        "fields": _FIELDS,
    }
    title = f"AUROC on all pairs, {meta['data']}, seeds {', '.join(map(str, meta['seeds']))}"
    by_detector = _by_detector(rows)
    return Result(
        protocol="transfer",
        title="Detectors x trained on x tested on",
        question="How well does each detector, trained on one attack, find the images of every attack, and does it "
        "find attacks or any noise of that size?",
        finding=_finding(rows, found),
        meta=meta,
        rows=rows,
        tables=[
            *matrix_tables(rows, study.attacks, meta),
            worst_table(rows, matrix.worst()),
            *left_out_tables(rows),
            difference_table(found),
            control_table(study, field),
        ],
        figures={"": heat_maps(title, by_detector), "bars": grouped_bars(title, by_detector)},
        flags=flags(rows, study),
    )


_FIELDS: Final = {
    "n": "pairs of a clean image and its adversarial twin",
    "subset": "all: every pair; successful: right before, wrong after; failed: right before and after",
    "accuracy": "balanced, at probability .5",
    "tpr_at_*_fpr": "threshold from the clean calibration images; at 1 % null below 1000 of them",
    "fpr_at_95_tpr": "threshold from the test images",
    "realised_fpr": "of the 5 % threshold, on all clean test images",
    "attack_success_rate": "of the images that the classifier gets right, those that the attack turns wrong",
    "auroc_low, auroc_high": "95 % bootstrap interval over images; on all pairs",
    "auroc_against_noise": "adversarial images against clean ones with noise of the same norms, pixels permuted",
    "noise_flagged": "share of such noise above the 5 % threshold",
    "auroc_rounded": "adversarial images rounded to 8 bits against clean ones",
    "success_at_5_fpr": "of the images that the classifier gets right, those wrong after the attack and accepted at "
    "the 5 % threshold: the attacker's success",
}


def _by_detector(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the AUROC by detector, then trained on, then tested on; the training-free ones are one block."""
    found: dict[str, dict[str, Any]] = {}
    free = {row["detector"] for row in rows if row["trained_on"] is None}
    for (detector, trained_on), cells in summary(rows).items():
        block, line = ("training-free", detector) if detector in free else (detector, trained_on)
        found.setdefault(block, {})[line] = cells
    return found


def _finding(rows: list[dict[str, Any]], found: list[dict[str, Any]]) -> str:
    """Return what the numbers say, best detector first, also where it is a training-free one."""
    one_attack = {None, *(row["tested_on"] for row in rows)}
    unseen: dict[str, list[float]] = {}
    noisy: dict[str, list[float]] = {}
    for row in rows:
        defined = row["auroc"] is not None and row["auroc_against_noise"] is not None
        if (
            row["subset"] == "all"
            and defined
            and row["trained_on"] != row["tested_on"]
            and row["trained_on"] in one_attack
        ):
            unseen.setdefault(row["detector"], []).append(row["auroc"])
            noisy.setdefault(row["detector"], []).append(row["auroc_against_noise"])
    if not unseen:
        return (
            "Nothing can be said about attacks that a detector was not trained on: that takes two attacks, and a "
            "detector that was trained on one of them alone."
        )
    means = sorted(((sum(values) / len(values), name) for name, values in unseen.items()), reverse=True)
    told = ", ".join(f"{name} {value:.3f}" for value, name in means)
    against = ", ".join(f"{name} {sum(noisy[name]) / len(noisy[name]):.3f}" for _, name in means)
    ending = ", unseen attacks"
    beside = {each["name"].removesuffix(ending): each for each in found if each["name"].endswith(ending)}
    won = [name.replace(" - ", " ahead of ") for name, each in beside.items() if each["low"] > 0]
    lost = [name.replace(" - ", " behind ") for name, each in beside.items() if each["high"] < 0]
    return (
        f"Mean AUROC on attacks that a detector was not trained on: {told}. Against noise of the same norms instead of "
        f"clean images: {against}. Decided at 95 %: {', '.join([*won, *lost]) or 'no difference'}."
    )
