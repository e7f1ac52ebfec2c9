"""The tables of the detection matrix, from its records; also of detectors trained on all attacks but one."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from detectors.calibration import rate_interval
from experiments.detection.tables import NORMS, capital, rate_of, table_of
from experiments.detection.transfer.records import (
    UNTRAINED,
    Contrast,
    Line,
    Ranking,
    TransferRecords,
    TransferRow,
    collected,
    summary,
    unseen_means,
)
from experiments.results.bootstrap import Interval
from experiments.results.levels import SEEDS, WORKING_RATE
from experiments.results.records import mean_known, spread
from experiments.results.result import Table
from experiments.results.text import SMALL, cell
from experiments.results.verdicts import FEWEST, all_above, counted
from experiments.study.metrics import shown_in

_SIDES: Final = {"holds": "above 0", "does not hold": "below 0", "not decided": "no"}


def tables_of(records: TransferRecords, meta: Mapping[str, Any]) -> list[Table]:
    """Return all tables of the protocol; the first is the matrix of AUROCs on the pairs of the finding."""
    attacks, subset = list(records.families), records.ranking.subset
    matrices = _matrices(records.rows, attacks, meta)
    headline = next(table for table in matrices if table.title == f"{shown_in('transfer')[0].title}, {subset} pairs")
    return [
        headline,
        *([ranking_table(records.ranking)] if records.ranking.standings else []),
        *(table for table in matrices if table is not headline),
        _attacks(records),
        _realised(records.rows, meta),
        _worst(records),
        *left_out_tables(records.rows, records.left_out),
        _differences(records.contrasts, meta),
        _controls(records.controls, attacks),
    ]


def ranking_table(ranking: Ranking) -> Table:
    """Return the table of all detectors, best first."""
    return Table(
        title=f"Attacks that a detector was not trained on, {ranking.subset} pairs",
        header=["detector", "mean AUROC", "against noise", "lowest AUROC", "trained on", "tested on", "cells", "pairs"],
        rows=[
            [
                one.detector,
                str(one.area),
                str(one.against_noise),
                one.lowest,
                one.worst.trained_on or UNTRAINED,
                one.worst.tested_on,
                one.cells,
                one.area.n,
            ]
            for one in ranking.standings
        ],
        note="All rows are means over the same cells (trained on x tested on): a training-free detector stands beside "
        "each cell of the learnt ones. In brackets the 95 % interval over images and, from two seeds on, over seeds. "
        "Against noise: adversarial images against clean ones with noise of the same norms. Trained on, tested on: the "
        "cell of the lowest AUROC. Pairs: the fewest of a cell. Who is first was chosen on these test images, which "
        "flatters it.",
    )


def _matrices(rows: Sequence[TransferRow], attacks: Sequence[str], meta: Mapping[str, Any]) -> list[Table]:
    several = "and standard deviation " if len(meta["seeds"]) > 1 else ""
    tables = []
    for metric in shown_in("transfer"):
        threshold = "" if metric.rate is None else f"; {_threshold(meta, metric.rate)}"
        means = f"Mean {several}over {counted(len(meta['seeds']), 'seeds')}; {meta['knowledge']}{threshold}."
        note = f"{capital(metric.meaning)}. {means} {SMALL}"
        for subset in metric.tables["transfer"][1]:
            cells = collected(rows, metric.key, subset)
            lines = [[*line, *(spread(values[attack]) for attack in attacks)] for line, values in cells.items()]
            header = ["detector", "trained on", *attacks]
            margin = _margin(rows, subset, attacks, of_right=metric.of_right)
            tables.append(Table(f"{metric.title}, {subset} pairs", header, [*margin, *lines], note))
    return tables


def _margin(rows: Sequence[TransferRow], subset: str, attacks: Sequence[str], *, of_right: bool) -> list[list[Any]]:
    """Return the first lines of a matrix: each attack's success rate, and the number of pairs or images of a value."""
    by_attack = _by_attack(rows)
    rates = [by_attack["all", attack].metrics["attack_success_rate"] for attack in attacks]
    counts = [_right(by_attack, attack) if of_right else by_attack[subset, attack].n for attack in attacks]
    counted = "images classified right" if of_right else "pairs"
    return [["attack success rate", UNTRAINED, *rates], [counted, UNTRAINED, *counts]]


def _right(by_attack: Mapping[tuple[str, str], TransferRow], attack: str) -> int:
    """Return the number of images that the classifier gets right."""
    return sum(by_attack[subset, attack].n for subset in ("successful", "failed"))


def _by_attack(rows: Sequence[TransferRow]) -> dict[tuple[str, str], TransferRow]:
    """Return a row for each subset and attack; its counts and rates do not depend on the detector."""
    return {(row.subset, row.tested_on): row for row in rows}


def _threshold(meta: Mapping[str, Any], rate: float = WORKING_RATE) -> str:
    """Return a phrase about a threshold: its calibration images, and the interval of its false-positive rate."""
    count = meta["calibration_images"]
    ends = rate_interval(count, rate)
    between = f", whose false-positive rate lies at 95 % between {ends[0]:.3f} and {ends[1]:.3f}" if ends else ""
    return f"threshold from {count} clean calibration images{between}"


def _attacks(records: TransferRecords) -> Table:
    by_attack = _by_attack(records.rows)
    subsets = dict.fromkeys(subset for subset, _ in by_attack)
    return Table(
        title="Attacks",
        header=[
            "attack",
            "success rate",
            *(f"{subset} pairs" for subset in subsets),
            *(f"{norm} of noise / attack" for norm in NORMS.values()),
        ],
        rows=[
            [
                attack,
                rate_of(by_attack["all", attack].metrics["attack_success_rate"], _right(by_attack, attack)),
                *(by_attack[subset, attack].n for subset in subsets),
                *(ratios[norm] for norm in NORMS),
            ]
            for attack, ratios in records.noise_ratios.items()
        ],
        note="Success rate: of the images that the classifier gets right (successful and failed pairs), with its 95 % "
        "interval. Of noise / attack: the norm of the noise over that of the attack, the smallest ratio of an image; 1 "
        "is as large. L0 counts values that change by at least 0.000001.",
    )


def _realised(rows: Sequence[TransferRow], meta: Mapping[str, Any]) -> Table:
    rates = {(row.detector, row.trained_on, row.seed): row.metrics["realised_fpr"] for row in rows}
    return Table(
        "Realised false-positive rate of the 5 % threshold",
        ["detector", "trained on", "seed", "realised FPR"],
        [[*detector, rate_of(rate, meta["test_images"])] for detector, rate in rates.items()],
        f"On {meta['test_images']} clean test images, with a 95 % interval; {_threshold(meta)}.",
    )


def _worst(records: TransferRecords) -> Table:
    """Return each detector's worst attack, its mean on unseen attacks, and the worst case per image."""
    lines, means = [], unseen_means(records.rows)
    for (detector, trained_on), cells in summary(records.rows).items():
        by_attack = {attack: value for attack, value in cells.items() if value is not None}
        missing = records.left_out.get(trained_on)
        unseen = mean_known(
            by_attack[attack] for attack in by_attack if attack != trained_on and missing in {None, attack}
        )
        lowest = min(by_attack, key=lambda attack, of=by_attack: of[attack], default=None)  # type: ignore[misc]
        evaded = spread(records.evaded[detector, trained_on])
        mean = means.get(detector) if trained_on == UNTRAINED else unseen
        lines.append([detector, trained_on, lowest and by_attack[lowest], lowest, mean, evaded])
    right = _margin(records.rows, "all", list(records.families)[:1], of_right=True)[1][2]
    return Table(
        title="Worst case over attacks, and attacks that were left out of training",
        header=["detector", "trained on", "lowest AUROC", "on", "mean AUROC, unseen attacks", "evaded by some attack"],
        rows=lines,
        note="All pairs. Lowest AUROC: over all attacks, in every row. Unseen attacks: a training-free detector has "
        "the mean over the (trained on, tested on) cells of the learnt detectors, so that an attack counts as often as "
        f"detectors were trained on another one. The last column: of the {right} images that the classifier gets "
        f"right, those that at least one attack of the run turns wrong and that are accepted at 5 % FPR. {SMALL}",
    )


def left_out_tables(rows: Sequence[TransferRow], left_out: Mapping[str, str]) -> list[Table]:
    """Return how well detectors find an attack that was left out of training; no table if none was."""
    means, shown, of_attack = summary(rows), shown_in("left out"), _by_attack(rows)
    lines = [
        [
            line[0],
            left_out[line[1]],
            of_attack["all", left_out[line[1]]].metrics["attack_success_rate"],
            of_attack["all", left_out[line[1]]].n,
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
        f"chosen on these test images, which flatters it. {SMALL}"
    )
    header = [
        "detector",
        "left out",
        "attack success rate",
        "pairs",
        *(f"{metric.name} on it" for metric in shown),
        "AUROC on the others, trained on",
        "AUROC on it, trained on it alone",
        "best, trained on one other",
        "which",
    ]
    return [Table("Leave one attack out", header, lines, note)]


def _beside(means: Mapping[Line, Mapping[str, float | None]], line: Line, attack: str) -> list[float | str | None]:
    """Return AUROCs for comparison: on the other attacks, trained on the left-out one, best trained on one other."""
    detector, cells = line[0], means[line]
    alone = {name: means.get((detector, name), {}).get(attack) for name in cells if name != attack}
    rates = [(value, name) for name, value in alone.items() if value is not None]
    best = max(rates, key=lambda pair: pair[0], default=(None, None))
    others = mean_known(value for name, value in cells.items() if name != attack)
    return [others, means.get((detector, attack), {}).get(attack), *best]


def _best_free(means: Mapping[Line, Mapping[str, float | None]], attack: str) -> str:
    values = [(cells[attack], name) for (name, trained_on), cells in means.items() if trained_on == UNTRAINED]
    rates = [(value, name) for value, name in values if value is not None]
    return "none" if not rates else f"{max(rates)[0]:.3f} ({max(rates)[1]})"


def _differences(contrasts: Sequence[Contrast], meta: Mapping[str, Any]) -> Table:
    few = meta["test_images"] < FEWEST or len(meta["seeds"]) < SEEDS
    why = (
        f"Nothing is decided: {meta['test_images']} images and {counted(len(meta['seeds']), 'seeds')}. " if few else ""
    )
    return table_of(
        "Differences in AUROC",
        contrasts,
        {
            "difference": "name",
            "mean": "value",
            "low": "low",
            "high": "high",
            "cells": "cells",
            "decided": lambda row: (
                "no" if few else _SIDES[all_above([Interval(row["value"], row["low"], row["high"])])]
            ),
        },
        f"{why}Means over the same cells (trained on x tested on), all pairs; 95 % intervals over images, the same for "
        f"all detectors, and over seeds. To decide takes {FEWEST} images and {SEEDS} seeds. JSMA or a family of norms: "
        "the same trained detector on one kind of attack and on the others. True label: the map is that of the true "
        "class.",
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
    numbers = [value for value in values if value is not None]
    return cell(mean_known(values)) if len(values) == 1 or not numbers else f"{min(numbers):.3f} to {max(numbers):.3f}"
