"""The tables of the detection matrix, from its records; also of detectors trained on all attacks but one."""

from collections.abc import Mapping, Sequence
from typing import Any

from detectors.calibration import rate_interval
from experiments.detection.tables import table_of
from experiments.detection.transfer.contrasts import Contrast
from experiments.detection.transfer.records import UNTRAINED, Line, TransferRecords, collected, summary
from experiments.results.records import Rows, mean_known, spread
from experiments.results.result import Table
from experiments.results.text import cell
from experiments.study.metrics import WORKING_RATE, shown_in


def tables_of(records: TransferRecords, contrasts: Sequence[Contrast], meta: Mapping[str, Any]) -> list[Table]:
    """Return all tables of the protocol; the first is the matrix of AUROCs."""
    attacks = list(records.families)
    return [
        *_matrices(records.rows, attacks, meta),
        _attacks(records.rows),
        _realised(records.rows, meta),
        _worst(records),
        *left_out_tables(records.rows, records.left_out),
        _differences(contrasts),
        _controls(records.controls, attacks),
    ]


def _matrices(rows: Rows, attacks: Sequence[str], meta: Mapping[str, Any]) -> list[Table]:
    several = "and standard deviation " if len(meta["seeds"]) > 1 else ""
    tables = []
    for metric in shown_in("transfer"):
        threshold = "" if metric.rate is None else f"; {_threshold(meta, metric.rate)}"
        note = f"Mean {several}over {len(meta['seeds'])} seed(s); {meta['knowledge']}{threshold}."
        for subset in metric.tables["transfer"][1]:
            cells = collected(rows, metric.key, subset)
            lines = [[*line, *(spread(values[attack]) for attack in attacks)] for line, values in cells.items()]
            header = ["detector", "trained on", *attacks]
            tables.append(Table(f"{metric.title}, {subset} pairs", header, lines, note))
    return tables


def _threshold(meta: Mapping[str, Any], rate: float = WORKING_RATE) -> str:
    """Return where a threshold comes from, and what its false-positive rate may be."""
    count = meta["calibration_images"]
    ends = rate_interval(count, rate)
    between = f", whose false-positive rate lies at 95 % between {ends[0]:.3f} and {ends[1]:.3f}" if ends else ""
    return f"threshold from {count} clean calibration images{between}"


def _attacks(rows: Rows) -> Table:
    by_subset: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        by_subset.setdefault(row["subset"], {})[row["tested_on"]] = row
    columns = {f"{subset} pairs": lambda row, of=of: of[row["tested_on"]]["n"] for subset, of in by_subset.items()}
    every = by_subset["all"].values()
    return table_of("Attacks", every, {"attack": "tested_on", "success rate": "attack_success_rate", **columns})


def _realised(rows: Rows, meta: Mapping[str, Any]) -> Table:
    by_detector = {(row["detector"], row["trained_on"], row["seed"]): row for row in rows}
    return table_of(
        "Realised false-positive rate of the 5 % threshold",
        by_detector.values(),
        {"detector": "detector", "trained on": "trained_on", "seed": "seed", "realised FPR": "realised_fpr"},
        f"On {meta['test_images']} clean test images; {_threshold(meta)}.",
    )


def _worst(records: TransferRecords) -> Table:
    """Return each detector's worst attack, its mean on unseen attacks, and the worst case per image."""
    lines = []
    for (detector, trained_on), cells in summary(records.rows).items():
        known = {attack: value for attack, value in cells.items() if value is not None}
        missing = records.left_out.get(trained_on)
        unseen = [known[attack] for attack in known if attack != trained_on and missing in {None, attack}]
        lowest = min(known, key=lambda attack, of=known: of[attack], default=None)  # type: ignore[misc]
        evaded = spread(records.evaded[detector, trained_on])
        lines.append([detector, trained_on, lowest and known[lowest], lowest, mean_known(unseen), evaded])
    return Table(
        title="Worst case over attacks, and attacks that were left out of training",
        header=["detector", "trained on", "lowest AUROC", "on", "mean AUROC, unseen attacks", "evaded by some attack"],
        rows=lines,
        note="The last column: of the images that the classifier gets right, those that at least one attack of the run "
        "turns wrong and that are accepted at 5 % FPR.",
    )


def left_out_tables(rows: Rows, left_out: Mapping[str, str]) -> list[Table]:
    """Return how well detectors find an attack that was left out of training; no table if none was."""
    means, shown = summary(rows), shown_in("left out")
    lines = [
        [
            line[0],
            left_out[line[1]],
            *(spread(collected(rows, metric.key)[line][left_out[line[1]]]) for metric in shown),
            *_beside(means, line, left_out[line[1]]),
        ]
        for line in means
        if line[1] in left_out
    ]
    if not lines:
        return []
    attacks = dict.fromkeys(left_out[trained_on] for _, trained_on in means if trained_on in left_out)
    free = [f"{attack} {_best_free(means, attack)}" for attack in attacks]
    note = (
        "Trained on `all-but-<attack>`: each training image was attacked by one of the others, drawn at random. All "
        f"pairs. The best training-free detector on the same attacks: {', '.join(free)}. What is called best was "
        "chosen on these test images, which flatters it."
    )
    header = [
        "detector",
        "left out",
        *(f"{metric.name} on it" for metric in shown),
        "AUROC on the others, trained on",
        "AUROC on it, trained on it alone",
        "best, trained on one other",
        "which",
    ]
    return [Table("Leave one attack out", header, lines, note)]


def _beside(means: Mapping[Line, Mapping[str, float | None]], line: Line, attack: str) -> list[float | str | None]:
    """Return AUROCs beside that on the attack left out: on the others, trained on it, best trained on one other."""
    detector, cells = line[0], means[line]
    alone = {name: means.get((detector, name), {}).get(attack) for name in cells if name != attack}
    known = [(value, name) for name, value in alone.items() if value is not None]
    best = max(known, key=lambda pair: pair[0], default=(None, None))
    others = mean_known(value for name, value in cells.items() if name != attack)
    return [others, means.get((detector, attack), {}).get(attack), *best]


def _best_free(means: Mapping[Line, Mapping[str, float | None]], attack: str) -> str:
    values = [(cells[attack], name) for (name, trained_on), cells in means.items() if trained_on == UNTRAINED]
    known = [(value, name) for value, name in values if value is not None]
    return "none" if not known else f"{max(known)[0]:.3f} ({max(known)[1]})"


def _differences(contrasts: Sequence[Contrast]) -> Table:
    return table_of(
        "Differences in AUROC",
        contrasts,
        {
            "difference": "name",
            "mean": "value",
            "low": "low",
            "high": "high",
            "cells": "cells",
            "decided": lambda row: "above 0" if row["low"] > 0 else "below 0" if row["high"] < 0 else "no",
        },
        "Means over cells (trained on x tested on), all pairs; 95 % bootstrap intervals that resample images, "
        "the same for all detectors, and seeds. True label: the map is that of the true class.",
    )


def _controls(controls: Mapping[str, Sequence[Sequence[float | None]]], attacks: Sequence[str]) -> Table:
    repeats = max(len(values) for areas in controls.values() for values in areas)
    return Table(
        title="Controls: AUROC where there is nothing to be learnt",
        header=["control", *attacks],
        rows=[[name, *map(_range, areas)] for name, areas in controls.items()],
        note=f"Smallest to largest of {repeats}. A constant score and permuted labels (of each pair, which one is "
        "called adversarial) must lie around .5; an untrained network need not: it is a random function of the image.",
    )


def _range(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return cell(mean_known(values)) if len(values) == 1 or not known else f"{min(known):.3f} to {max(known):.3f}"
