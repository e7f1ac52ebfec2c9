"""One row for each detector, from the results of the protocols; the table and the finding."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from experiments.results.bootstrap import Interval
from experiments.results.records import Record, Rows, mean_known
from experiments.results.result import Flag, Result, Table
from experiments.results.verdicts import FEWEST, counted, listed
from experiments.white_box.records import BEFORE, FALLEN, WORST, rate_over_seeds

FIELDS: Final = {
    "auroc": "on each of the run's attacks, which do not know the detector, by name; a mean over seeds",
    "auroc_mean, tpr_at_5_fpr": "means over these attacks",
    "false_positives": "share of benign, corrupted images flagged, a mean over corruptions and severities",
    "sr_at_5": "of n_right, those that any attack that knows the detector gets misclassified and accepted; "
    "95 % interval",
    "latency_ms, latency_ratio": "median time of one image with the detector, and over that of the classifier alone",
    "fit_seconds": "of the fit; null: trained by the pipeline, or nothing to fit",
}


def of_detector(results: Mapping[str, Result], name: str, trained_on: str | None) -> dict[str, Rows]:
    """Return the rows of a detector in each protocol's result, before any retraining."""
    return {
        protocol: [
            row
            for row in result.rows
            if row["detector"] == name and row["trained_on"] == trained_on and row.get("phase", BEFORE) == BEFORE
        ]
        for protocol, result in results.items()
    }


def row_of(name: str, trained_on: str | None, rows: Mapping[str, Rows], fit_seconds: float | None) -> dict[str, Any]:
    """Return the row of a detector.

    Args:
        name: Name of the detector.
        trained_on: The attack that it was trained on; None: it was not trained by the pipeline.
        rows: Its rows in the protocols' results.
        fit_seconds: Duration of its fit; None: it was not fitted here.
    """
    whole = [row for row in rows["transfer"] if row["subset"] == "all"]
    attacks = dict.fromkeys(row["tested_on"] for row in whole)
    auroc = {attack: mean_known(row["auroc"] for row in whole if row["tested_on"] == attack) for attack in attacks}
    worst = [row for row in rows["white-box"] if row["attack"] == WORST]
    rate = rate_over_seeds(worst)
    corrupted = [row["flagged"] for row in rows["corruptions"] if row["severity"]]
    return {
        "detector": name,
        "trained_on": trained_on,
        "auroc": auroc,
        "auroc_mean": mean_known(auroc.values()),
        "tpr_at_5_fpr": mean_known(row["tpr_at_5_fpr"] for row in whole),
        "realised_fpr": mean_known(row["realised_fpr"] for row in whole),
        "false_positives": mean_known(corrupted),
        "n_right": min((row["n_right"] for row in worst), default=None),
        "sr_at_5": None if rate is None else rate.value,
        "sr_at_5_low": None if rate is None else rate.low,
        "sr_at_5_high": None if rate is None else rate.high,
        "latency_ms": mean_known(row["latency_ms"] for row in rows["speed"]),
        "latency_ratio": mean_known(row["latency_ratio"] for row in rows["speed"]),
        "fit_seconds": fit_seconds,
    }


def table_of(rows: Rows, meta: Mapping[str, Any]) -> Table:
    """Return the table of all detectors."""
    attacks = list(rows[0]["auroc"])
    besides = [*meta["remarks"], *(f"Left out: {why}." for why in meta["left_out"].values())]
    header = ["detector", *(f"AUROC {attack}" for attack in attacks), "TPR", "FPR", "FPR corrupted", "SR@5", "ms"]
    return Table(
        f"All detectors, on {meta['data']}",
        [*header, "x classifier", "fit, s"],
        [list(_line(row, attacks)) for row in rows],
        "AUROC, TPR: under attacks that do not know the detector; TPR, FPR: at the threshold for 5 % false positives. "
        f"TPR: a mean over these attacks. FPR corrupted: of {meta['corrupted_images']} images that are only noisy, "
        f"blurred, compressed, brighter or turned. SR@5: of {meta['attacked_images']} images, those classified right, "
        "the share that any attack that knows the detector gets misclassified and accepted, with its 95 % interval: "
        f"L-inf {meta['epsilon']:.4g}, preset {meta['preset']}. ms: one image with the detector, on {meta['device']}; "
        "x classifier: over that of the classifier alone. fit: a dash where the pipeline "
        f"trained it, or there is nothing to fit. {' '.join(besides)}".rstrip(),
    )


def _line(row: Record, attacks: Sequence[str]) -> Iterator[Any]:
    yield row["detector"] if row["trained_on"] is None else f"{row['detector']} ({row['trained_on']})"
    yield from (row["auroc"][attack] for attack in attacks)
    yield from (row[name] for name in ("tpr_at_5_fpr", "realised_fpr", "false_positives"))
    low, high = row["sr_at_5_low"], row["sr_at_5_high"]
    yield None if row["sr_at_5"] is None else str(Interval(row["sr_at_5"], low, high))
    yield from (_rounded(row[name]) for name in ("latency_ms", "latency_ratio", "fit_seconds"))


def _rounded(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"  # noqa: PLR2004 - digits


def finding(rows: Rows) -> str:
    """Return sentences about the detector that finds most, the most robust one, and those that fall."""
    aurocs = {row["detector"]: row["auroc_mean"] for row in rows if row["auroc_mean"] is not None}
    lost = {row["detector"]: row["sr_at_5"] for row in rows if row["sr_at_5"] is not None}
    if not aurocs or not lost:
        return "No image is classified right, so there is nothing to find and nothing to win."
    highest, lowest = max(aurocs.values()), min(lost.values())
    best = listed([name for name in aurocs if aurocs[name] == highest])
    least = [name for name in lost if lost[name] == lowest]
    where = "as much of every detector" if len(least) == len(lost) > 1 else f"the least on {listed(least)}"
    fallen = sum(value >= FALLEN for value in lost.values())
    return (
        f"Of {counted(len(rows), 'detectors')}, AUROC on attacks that do not know the detector is highest for {best}, "
        f"{highest:.3f} in the mean. Attacks that know the detector win {where}, SR@5 "
        f"{lowest:.3f}; at {FALLEN:g} or above: {fallen}."
    )


def few_flag(rows: Rows) -> Flag:
    """Return whether the worst case rests on few images."""
    fewest = min((row["n_right"] for row in rows if row["n_right"] is not None), default=0)
    sentence = f"SR@5 rests on {counted(fewest, 'images')} classified right; below {FEWEST} it decides nothing."
    return Flag("Few images", fewest < FEWEST, sentence)
