"""The tables and flags of the detection matrix, from its records; also of detectors trained on all attacks but one."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

from detectors.calibration import rate_interval
from experiments.detection.transfer.matrix import SUBSETS, UNTRAINED, Rows, collected, spread, summary
from experiments.results.result import Flag, Table
from experiments.study.metrics import SEEDS, WORKING_RATE
from experiments.study.study import Study
from experiments.training.layout import ALL_BUT
from experiments.training.settings import left_out

_MATRICES: Final = (
    ("auroc", "AUROC", ("all", "successful", "failed")),
    ("tpr_at_5_fpr", "TPR at 5 % FPR", ("all", "successful")),
    ("tpr_at_10_fpr", "TPR at 10 % FPR", ("all",)),
    ("accuracy", "Balanced accuracy at probability .5 (the paper's number)", ("all", "successful")),
    ("auroc_against_noise", "Adversarial or just noisy: AUROC against norm-matched noise", ("all", "successful")),
    ("noise_flagged", "Adversarial or just noisy: share of norm-matched noise flagged at 5 % FPR", ("all",)),
    ("auroc_rounded", "AUROC of adversarial images rounded to 8 bits", ("all",)),
    ("success_at_5_fpr", "The attacker's success: wrong and accepted at 5 % FPR", ("all",)),
)

_SLACK: Final = 0.03
"""How far the realised false-positive rate may lie above twice the binomial error of 5 % before it is flagged."""


def matrix_tables(rows: Rows, attacks: Sequence[str], meta: Mapping[str, Any]) -> list[Table]:
    """Return the matrices: one table for each value and subset, the attacks and the thresholds.

    Args:
        rows: Of the matrix.
        attacks: Names, the columns.
        meta: Of the result.
    """
    tables = []
    for value, title, subsets in _MATRICES:
        for subset in subsets:
            lines = [
                [*key, *(spread(cells[a]) for a in attacks)] for key, cells in collected(rows, value, subset).items()
            ]
            tables.append(
                Table(f"{title}, {subset} pairs", ["detector", "trained on", *attacks], lines, _note(meta, value))
            )
    return [*tables, _attacks(rows, attacks), _realised(rows, meta)]


def spread_over_seeds(rows: Rows, value: str, cell: tuple[str, str, str]) -> float | str | None:
    """Return the mean over seeds of a value of all pairs, with its standard deviation where there are several.

    Args:
        rows: Of the matrix.
        value: Name of the field.
        cell: The detector, what it was trained on, what it is tested on.
    """
    detector, trained_on, tested_on = cell
    return spread(collected(rows, value, "all").get((detector, trained_on), {}).get(tested_on, []))


def worst_table(rows: Rows, worst: Mapping[tuple[str, str | None], Sequence[float]]) -> Table:
    """Return each detector's worst attack, its mean on unseen attacks, and the worst case per image.

    Args:
        rows: Of the matrix.
        worst: For each detector, by seed, the share of images on which at least one attack evades it.
    """
    lines = []
    for (detector, trained_on), cells in summary(rows).items():
        known = {attack: value for attack, value in cells.items() if value is not None}
        other = left_out(trained_on, cells)
        unseen = [value for attack, value in known.items() if attack != trained_on and other in {None, attack}]
        lowest = min(known, key=lambda attack: known[attack]) if known else None
        evaded = worst[detector, None if trained_on == UNTRAINED else trained_on]
        lines.append(
            [
                detector,
                trained_on,
                None if lowest is None else known[lowest],
                lowest,
                statistics.fmean(unseen) if unseen else None,
                spread(evaded),
            ]
        )
    return Table(
        title="Worst case over attacks, and attacks that were left out of training",
        header=["detector", "trained on", "lowest AUROC", "on", "mean AUROC, unseen attacks", "evaded by some attack"],
        rows=lines,
        note="The last column: of the images that the classifier gets right, those that at least one attack of the run "
        "turns wrong and that are accepted at 5 % FPR.",
    )


def flags(rows: Rows, study: Study) -> list[Flag]:
    """Return what the evaluation says about itself.

    Args:
        rows: Of the matrix.
        study: Of the run.
    """
    idle = sorted({row["tested_on"] for row in rows if not row["attack_success_rate"]})
    expected = 0.05 + _SLACK + 2 * (0.05 * 0.95 / len(study.images.clean)) ** 0.5
    known = {
        f"{row['detector']} {row['trained_on'] or ''} {row['seed'] if row['seed'] is not None else ''}".strip(): rate
        for row in rows
        if (rate := row["realised_fpr"]) is not None
    }
    high = {name: rate for name, rate in known.items() if rate > expected}
    noisy = [row for row in rows if row["subset"] == "all" and _mistakes_noise(row)]
    seeds = len(study.run.settings.seeds)
    return [
        Flag(
            "An attack that never succeeds",
            bool(idle),
            f"{', '.join(idle)} fooled the classifier on no image." if idle else "Every attack fooled some images.",
        ),
        Flag(
            "Realised false-positive rate",
            bool(high) if known else None,
            f"The 5 % thresholds let through more than {expected:.3f} of the clean test images for "
            f"{', '.join(f'{name} ({rate:.3f})' for name, rate in high.items())}."
            if high
            else f"No 5 % threshold flags more than {expected:.3f} of the clean test images.",
        ),
        Flag(
            "Detectors of noise",
            bool(noisy),
            f"{len(noisy)} of {sum(row['subset'] == 'all' for row in rows)} cells have an AUROC of at least .75 "
            "against clean images and below .6 against noise of the same norms: there noise is found, not attacks.",
        ),
        Flag("Few seeds", seeds < SEEDS, f"{seeds} seed(s) of detector training; a claim needs {SEEDS}."),
    ]


def _mistakes_noise(row: Mapping[str, Any]) -> bool:
    clean, noise = row["auroc"], row["auroc_against_noise"]
    return None not in {clean, noise} and bool(clean >= 0.75 and noise < 0.6)  # noqa: PLR2004 - said in the flag


def _note(meta: Mapping[str, Any], value: str) -> str:
    several = len(meta["seeds"]) > 1
    shown = f"Mean {'and standard deviation ' if several else ''}over {len(meta['seeds'])} seed(s)"
    rate = 0.1 if value == "tpr_at_10_fpr" else WORKING_RATE
    threshold = f"; {_threshold(meta['calibration_images'], rate)}"
    return f"{shown}; {meta['knowledge']}{threshold if '_fpr' in value or value == 'noise_flagged' else ''}."


def _threshold(count: int, rate: float) -> str:
    """Return where a threshold comes from, and what its false-positive rate may be."""
    ends = rate_interval(count, rate)
    between = (
        "" if ends is None else f", whose false-positive rate lies at 95 % between {ends[0]:.3f} and {ends[1]:.3f}"
    )
    return f"threshold from {count} clean calibration images{between}"


def _attacks(rows: Rows, attacks: Sequence[str]) -> Table:
    found = {(row["tested_on"], row["subset"]): row for row in rows}
    lines = [
        [attack, found[attack, "all"]["attack_success_rate"], *(found[attack, subset]["n"] for subset in SUBSETS)]
        for attack in attacks
    ]
    return Table("Attacks", ["attack", "success rate", *(f"{subset} pairs" for subset in SUBSETS)], lines)


def _realised(rows: Rows, meta: Mapping[str, Any]) -> Table:
    found = {(row["detector"], row["trained_on"], row["seed"]): row["realised_fpr"] for row in rows}
    return Table(
        "Realised false-positive rate of the 5 % threshold",
        ["detector", "trained on", "seed", "realised FPR"],
        [[*key, rate] for key, rate in found.items()],
        f"On {meta['test_images']} clean test images; {_threshold(meta['calibration_images'], WORKING_RATE)}.",
    )


def left_out_tables(rows: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Return what detectors find of an attack that was left out of training; no table if none was.

    Args:
        rows: Of the matrix.
    """
    attacks = list(dict.fromkeys(row["tested_on"] for row in rows))
    means = summary(rows)
    lines = []
    for (detector, trained_on), cells in means.items():
        attack = left_out(trained_on, attacks)
        if attack is None:
            continue
        alone = {name: means.get((detector, name), {}).get(attack) for name in attacks if name != attack}
        known = {name: value for name, value in alone.items() if value is not None}
        best = max(known, key=lambda name: known[name]) if known else None
        lines.append(
            [
                detector,
                attack,
                *(
                    spread_over_seeds(rows, value, (detector, trained_on, attack))
                    for value in ("auroc", "tpr_at_5_fpr")
                ),
                _mean([value for name, value in cells.items() if name != attack and value is not None]),
                means.get((detector, attack), {}).get(attack),
                None if best is None else known[best],
                best,
            ]
        )
    if not lines:
        return []
    free = [f"{name} {_best_free(means, name)}" for name in dict.fromkeys(line[1] for line in lines)]
    note = (
        f"Trained on `{ALL_BUT}<attack>`: each training image was attacked by one of the others, drawn at random. All "
        f"pairs. The best training-free detector on the same attacks: {', '.join(free)}. What is called best was "
        "chosen on these test images, which flatters it."
    )
    header = [
        "detector",
        "left out",
        "AUROC on it",
        "TPR at 5 % FPR on it",
        "AUROC on the others, trained on",
        "AUROC on it, trained on it alone",
        "best, trained on one other",
        "which",
    ]
    return [Table("Leave one attack out", header, lines, note)]


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _best_free(means: Mapping[tuple[str, str], Mapping[str, Any]], attack: str) -> str:
    found = [(cells[attack], name) for (name, trained_on), cells in means.items() if trained_on == UNTRAINED]
    known = [(value, name) for value, name in found if value is not None]
    return "none" if not known else f"{max(known)[0]:.3f} ({max(known)[1]})"
