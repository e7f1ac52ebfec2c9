"""Leave-one-attack-out: detectors trained on all attacks but the one that they are tested on (PROTOCOL B11)."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.means import UNTRAINED, summary
from experiments.protocols.transfer_tables import spread_over_seeds
from experiments.results import Table
from experiments.settings import ALL_BUT, left_out


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
