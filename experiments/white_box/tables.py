"""The tables of the white-box protocol."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from experiments.results.result import Table
from experiments.white_box.rows import FALLEN, WORST, mean_of, of
from experiments.white_box.subjects import BEFORE
from experiments.white_box.suite import PAPER

Rows = Sequence[Mapping[str, Any]]


def white_box_tables(rows: Rows, prices: Rows, curves: Rows, meta: Mapping[str, Any]) -> list[Table]:
    """Return the tables, the headline first."""
    return [
        _headline(rows, meta),
        *_by_attack(rows, meta),
        *([_prices(prices, meta)] if prices else []),
        *_curves(curves, meta),
        _costs(rows, meta),
    ]


def _lines(rows: Rows) -> list[tuple[str, str]]:
    return list(dict.fromkeys((row["detector"], row["phase"]) for row in rows))


def named(detector: str, phase: str) -> str:
    """Return what a detector is called in tables and figures."""
    return detector if phase == BEFORE else f"{detector}, retrained"


def spread(rows: Rows, name: str) -> float | str | None:
    """Return a field's mean over seeds, with the standard deviation where there are several."""
    values = [row[name] for row in rows if row[name] is not None]
    if len(values) < 2:  # noqa: PLR2004 - a deviation needs two
        return values[0] if values else None
    return f"{statistics.fmean(values):.3f} ± {statistics.stdev(values):.3f}"


_HEADLINE: Final = {
    "classifier_accuracy": "classifier accuracy",
    "detector_accuracy": "detector accuracy",
}

_WORST: Final = {"sr_at_5": "SR@5", "sr_at_50": "SR@50", "robust_accuracy": "robust accuracy"}


def _headline(rows: Rows, meta: Mapping[str, Any]) -> Table:
    lines = []
    for detector, phase in _lines(rows):
        paper, worst = of(rows, detector, phase, PAPER), of(rows, detector, phase, WORST)
        lines.append(
            [
                named(detector, phase),
                *(spread(paper, name) for name in _HEADLINE),
                *(spread(worst, name) for name in _WORST),
                mean_of(worst, "clean_right_and_accepted"),
                mean_of(worst, "realised_fpr"),
            ]
        )
    return Table(
        title="White-box attacks before and after retraining",
        header=["detector", *_HEADLINE.values(), *_WORST.values(), "clean kept", "FPR"],
        rows=lines,
        note=f"L-inf budget {meta['epsilon']:g}, untargeted, attacks know classifier and detector. Classifier and "
        "detector accuracy: the paper's two columns (Table 3) under its alternation through the map, aimed at "
        "probability .5. "
        "SR@5, SR@50, robust accuracy: the worst case, an image is lost if any of the suite's attacks wins it, at "
        "thresholds for 5 and 50 % false positives. Robust: right or rejected; rejecting everything would win it, so "
        "beside it stand the shares of clean images that are kept (right and accepted) and rejected (FPR). Gradients "
        "go through the image, the map and every network; through JSD's Jacobian only as a softplus twin (*_parts). "
        f"{meta['attacked_images']} test images; {_seeds(meta)}.",
        bold=[
            (y, 1 + len(_HEADLINE))
            for y, (name, phase) in enumerate(_lines(rows))
            if _all_won(of(rows, name, phase, WORST))
        ],
    )


def _all_won(rows: Rows) -> bool:
    value = mean_of(rows, "sr_at_5")
    return value is not None and value >= FALLEN


def _seeds(meta: Mapping[str, Any]) -> str:
    seeds = meta["attacked_seeds"]
    deviation = ", mean ± standard deviation" if len(seeds) > 1 else ""
    whole = meta["suite_seeds"]
    fewer = f"; the worst case on seed {', '.join(map(str, whole))}" if len(whole) < len(seeds) else ""
    return f"seeds {', '.join(map(str, seeds))}{deviation}{fewer}" if seeds else "one detector"


def _by_attack(rows: Rows, meta: Mapping[str, Any]) -> Iterator[Table]:
    attacks = sorted(dict.fromkeys(row["attack"] for row in rows), key=lambda attack: attack == WORST)  # it last
    told = {
        "sr_at_5": "SR@5: of the images right before, those misclassified and accepted at 5 % false positives",
        "sr_at_50": "SR@50: the same at 50 % false positives",
        "fooled_both": "Misclassified and accepted at probability .5, what the paper's alternation aims at",
        "classifier_accuracy": "Classifier accuracy under attack",
        "detector_accuracy": "Detector accuracy under attack, balanced, at probability .5",
        "robust_accuracy": "Robust accuracy with rejection at 5 % false positives",
        "auroc": "AUROC, attacked against clean images",
    }
    for name, title in told.items():
        lines = [
            [detector, phase, *(spread(of(rows, detector, phase, attack), name) for attack in attacks)]
            for detector, phase in _lines(rows)
        ]
        shown = [line for line in lines if any(value is not None for value in line[2:])]
        about = "; ".join(f"{attack}: {words}" for attack, words in meta["suite"].items()) if name == "sr_at_5" else ""
        if shown:
            yield Table(title, ["detector", "retraining", *attacks], shown, about)


def _prices(prices: Rows, meta: Mapping[str, Any]) -> Table:
    names = ("n_right", "success_alone", "sr_at_5_alone", "sr_at_5", "n_both", "median_l2_alone", "median_l2")
    return Table(
        title="The price of detection",
        header=[
            "detector",
            "retraining",
            "n",
            "classifier fooled, DDN",
            "of them accepted (SR@5), DDN",
            "SR@5, joint DDN",
            "n of both",
            "median L2, DDN",
            "median L2, joint DDN",
            "ratio, 25 %",
            "ratio, median",
            "ratio, 75 %",
        ],
        rows=[
            [each["detector"], each["phase"], *(each[name] for name in names)]
            + [each[name] for name in ("ratio_q25", "ratio_median", "ratio_q75")]
            for each in prices
        ],
        note="How much further in L2 an attack of minimal norm goes when it must fool the detector at 5 % false "
        "positives as well as the classifier, image by image, on the images where both attacks succeed; "
        f"{meta['steps']} steps, first seed.",
    )


def _curves(curves: Rows, meta: Mapping[str, Any]) -> Iterator[Table]:
    for across in ("steps", "epsilon"):
        found = [each for each in curves if each["across"] == across]
        if found:
            places = list(dict.fromkeys(each["at"] for each in found))
            values = {(each["detector"], each["phase"], each["at"]): each["sr_at_5"] for each in found}
            whose = {(each["detector"], each["phase"]): each["attack"] for each in found}
            walks = ", ".join(f"{named(*key)}: {attack}" for key, attack in whose.items())
            yield Table(
                title=f"SR@5 of the walk that won most, by {across}",
                header=["detector", "retraining", *(f"{place:g}" for place in places)],
                rows=[[*key, *(values.get((*key, place)) for place in places)] for key in whose],
                note=f"{meta['curve_images']} images, first seed. {walks}.",
            )


def _costs(rows: Rows, meta: Mapping[str, Any]) -> Table:
    attacks = [attack for attack in dict.fromkeys(row["attack"] for row in rows) if attack != WORST]
    lines = []
    for attack in attacks:
        mine = [row for row in rows if row["attack"] == attack]
        lines.append([attack, *(mean_of(mine, name) for name in ("forward_passes", "backward_passes", "seconds"))])
    return Table(
        title="What the attacks cost",
        header=["attack", "forward passes", "backward passes", "seconds per image"],
        rows=lines,
        note=f"Per image, mean over detectors, on {meta['device']}; a pass goes through classifier and detector "
        "together.",
    )
