"""The tables of the white-box protocol, and its finding."""

import statistics
from collections.abc import Iterator, Mapping
from typing import Any, Final

from experiments.results.result import Table
from experiments.white_box.records import (
    AFTER,
    BEFORE,
    COSTS,
    FALLEN,
    PAPER,
    WORST,
    Rows,
    WhiteBoxRecords,
    detectors_of,
    mean_of,
    of,
)


def white_box_tables(records: WhiteBoxRecords, meta: Mapping[str, Any]) -> list[Table]:
    """Return the tables, the headline first."""
    return [
        _headline(records.rows, meta),
        *_by_attack(records.rows, meta),
        *([_prices(records.prices, meta)] if records.prices else []),
        *_curves(records.curves, meta),
        _costs(records.rows, meta),
    ]


def finding(rows: Rows, meta: Mapping[str, Any]) -> str:
    """Return who falls, who does not, and what retraining changed."""
    parts = []
    for phase, when in ((BEFORE, "Before retraining"), (AFTER, "After it")):
        worst = {name: mean_of(of(rows, name, phase, WORST), "sr_at_5") for name, _ in detectors_of(rows)}
        known = {name: value for name, value in worst.items() if value is not None}
        if known:
            values = ", ".join(f"{name} {value:.3f}" for name, value in known.items())
            fallen = [name for name, value in known.items() if value >= FALLEN] or ["none"]
            parts.append(f"{when}, worst case of SR@5: {values}; at {FALLEN:g} or above: {', '.join(fallen)}.")
    if not parts:
        return "The classifier gets no image right, so there is nothing to win."
    return f"L-inf budget {meta['epsilon']:g}, {meta['attacked_images']} images. {' '.join(parts)}"


def named(detector: str, phase: str) -> str:
    """Return what a detector is called in tables and charts."""
    return detector if phase == BEFORE else f"{detector}, retrained"


def _spread(rows: Rows, name: str) -> float | str | None:
    """Return a field's mean over seeds, with the standard deviation where there are several."""
    values = [row[name] for row in rows if row[name] is not None]
    if len(values) < 2:  # noqa: PLR2004 - a deviation needs two
        return values[0] if values else None
    return f"{statistics.fmean(values):.3f} ± {statistics.stdev(values):.3f}"


_PAPER: Final = {"classifier_accuracy": "classifier accuracy", "detector_accuracy": "detector accuracy"}
_WORST: Final = {"sr_at_5": "SR@5", "sr_at_50": "SR@50", "robust_accuracy": "robust accuracy"}
_CLEAN: Final = {"clean_right_and_accepted": "clean kept", "realised_fpr": "FPR"}


def _headline(rows: Rows, meta: Mapping[str, Any]) -> Table:
    lines: list[list[Any]] = []
    bold: list[tuple[int, int]] = []
    for detector, phase in detectors_of(rows):
        paper, worst = of(rows, detector, phase, PAPER), of(rows, detector, phase, WORST)
        if (mean_of(worst, "sr_at_5") or 0.0) >= FALLEN:
            bold.append((len(lines), 1 + len(_PAPER)))
        scored = [*(_spread(paper, name) for name in _PAPER), *(_spread(worst, name) for name in _WORST)]
        lines.append([named(detector, phase), *scored, *(mean_of(worst, name) for name in _CLEAN)])
    return Table(
        title="White-box attacks before and after retraining",
        header=["detector", *_PAPER.values(), *_WORST.values(), *_CLEAN.values()],
        rows=lines,
        note=f"L-inf budget {meta['epsilon']:g}, untargeted, attacks know classifier and detector. Classifier and "
        "detector accuracy: the paper's two columns (Table 3) under its alternation through the map, aimed at "
        "probability .5. "
        "SR@5, SR@50, robust accuracy: the worst case, an image is lost if any of the suite's attacks wins it, at "
        "thresholds for 5 and 50 % false positives. Robust: right or rejected; rejecting everything would win it, so "
        "beside it stand the shares of clean images that are kept (right and accepted) and rejected (FPR). Gradients "
        "go through the image, the map and every network; through JSD's Jacobian only as a softplus copy (*_parts). "
        f"{meta['attacked_images']} test images; {_seeds(meta)}.",
        bold=bold,
    )


def _seeds(meta: Mapping[str, Any]) -> str:
    seeds, whole = meta["attacked_seeds"], meta["suite_seeds"]
    deviation = ", mean ± standard deviation" if len(seeds) > 1 else ""
    fewer = f"; the worst case on seed {', '.join(map(str, whole))}" if len(whole) < len(seeds) else ""
    return f"seeds {', '.join(map(str, seeds))}{deviation}{fewer}" if seeds else "one detector"


_TITLES: Final = {
    "sr_at_5": "SR@5: of the images right before, those misclassified and accepted at 5 % false positives",
    "sr_at_50": "SR@50: the same at 50 % false positives",
    "fooled_both": "Misclassified and accepted at probability .5, what the paper's alternation aims at",
    "classifier_accuracy": "Classifier accuracy under attack",
    "detector_accuracy": "Detector accuracy under attack, balanced, at probability .5",
    "robust_accuracy": "Robust accuracy with rejection at 5 % false positives",
    "auroc": "AUROC, attacked against clean images",
}


def _by_attack(rows: Rows, meta: Mapping[str, Any]) -> Iterator[Table]:
    attacks = sorted(dict.fromkeys(row["attack"] for row in rows), key=lambda attack: attack == WORST)  # it last
    suite = "; ".join(f"{attack}: {words}" for attack, words in meta["suite"].items())
    for name, title in _TITLES.items():
        lines = [
            [detector, phase, *(_spread(of(rows, detector, phase, attack), name) for attack in attacks)]
            for detector, phase in detectors_of(rows)
        ]
        lines = [line for line in lines if any(value is not None for value in line[2:])]
        if lines:
            yield Table(title, ["detector", "retraining", *attacks], lines, suite if name == "sr_at_5" else "")


_PRICES: Final = {
    "n_right": "n",
    "success_alone": "classifier fooled, DDN",
    "sr_at_5_alone": "of them accepted (SR@5), DDN",
    "sr_at_5": "SR@5, joint DDN",
    "n_both": "n of both",
    "median_l2_alone": "median L2, DDN",
    "median_l2": "median L2, joint DDN",
    "ratio_q25": "ratio, 25 %",
    "ratio_median": "ratio, median",
    "ratio_q75": "ratio, 75 %",
}


def _prices(prices: Rows, meta: Mapping[str, Any]) -> Table:
    return Table(
        title="The price of detection",
        header=["detector", "retraining", *_PRICES.values()],
        rows=[[each["detector"], each["phase"], *(each[name] for name in _PRICES)] for each in prices],
        note="How much further in L2 an attack of minimal norm goes when it must fool the detector at 5 % false "
        "positives as well as the classifier, image by image, on the images where both attacks succeed; "
        f"{meta['steps']} steps, first seed.",
    )


def _curves(curves: Rows, meta: Mapping[str, Any]) -> Iterator[Table]:
    walks = {(each["detector"], each["phase"]): each["attack"] for each in curves}
    about = ", ".join(f"{named(*key)}: {attack}" for key, attack in walks.items())
    for across in ("steps", "epsilon") if curves else ():
        points = [each for each in curves if each["across"] == across]
        places = list(dict.fromkeys(each["at"] for each in points))
        values = {(each["detector"], each["phase"], each["at"]): each["sr_at_5"] for each in points}
        yield Table(
            title=f"SR@5 of the walk that won most, by {across}",
            header=["detector", "retraining", *(f"{place:g}" for place in places)],
            rows=[[*key, *(values.get((*key, place)) for place in places)] for key in walks],
            note=f"{meta['curve_images']} images, first seed. {about}.",
        )


def _costs(rows: Rows, meta: Mapping[str, Any]) -> Table:
    attacks = [attack for attack in dict.fromkeys(row["attack"] for row in rows) if attack != WORST]
    return Table(
        title="What the attacks cost",
        header=["attack", "forward passes", "backward passes", "seconds per image"],
        rows=[
            [attack, *(mean_of([row for row in rows if row["attack"] == attack], name) for name in COSTS)]
            for attack in attacks
        ],
        note=f"Per image, mean over detectors, on {meta['device']}; a pass goes through classifier and detector "
        "together.",
    )
