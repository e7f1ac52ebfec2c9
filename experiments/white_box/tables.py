"""The tables of the white-box protocol, and its finding."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from experiments.results.levels import SEEDS
from experiments.results.records import spread
from experiments.results.result import Table
from experiments.results.text import SMALL
from experiments.results.verdicts import FEWEST, counted, listed
from experiments.white_box.records import (
    AFTER,
    BEFORE,
    COSTS,
    FALLEN,
    NORMS,
    PAPER,
    WORST,
    Rows,
    WhiteBoxRecords,
    detectors_of,
    mean_of,
    of,
    rate_over_seeds,
)
from experiments.white_box.smallest import smallest_tables


def white_box_tables(records: WhiteBoxRecords, meta: Mapping[str, Any]) -> list[Table]:
    """Return the tables, the headline first."""
    return [
        _headline(records.rows, meta),
        *([_cascade(records.rows, meta)] if meta["mode"] == "worst" else []),
        *_by_attack(records.rows, meta),
        *([_prices(records.prices, meta)] if records.prices else []),
        *smallest_tables(records.smallest, records.curves),
        *_curves(records.curves, meta),
        _costs(records.rows, meta),
    ]


def finding(rows: Rows, meta: Mapping[str, Any]) -> str:
    """Return which detectors fall, and the effect of retraining, in sentences of two numbers at most."""
    phases = ((BEFORE, "Before retraining"), (AFTER, "After it"))
    sentences = [sentence for phase, when in phases for sentence in _of_phase(rows, phase, when)]
    if not sentences:
        return "The classifier gets no image right, so there is nothing to win."
    budget = f"{NORMS[meta['norm']]} budget {meta['epsilon']:.4g}, {meta['attacked_images']} images."
    return " ".join([budget, *sentences, *_too_little(rows, meta)])


def _of_phase(rows: Rows, phase: str, when: str) -> Iterator[str]:
    worst = {name: mean_of(of(rows, name, phase, WORST), "sr_at_5") for name, _ in detectors_of(rows)}
    rates = {name: value for name, value in worst.items() if value is not None}
    if not rates:
        return
    low, high = min(rates.values()), max(rates.values())
    least, most = (listed([name for name in rates if rates[name] == rate]) for rate in (low, high))
    if low == high:
        yield f"{when} SR@5 is {low:.3f} in the worst case on {least}."
    else:
        rest = f", the most on {most}, {high:.3f}"
        yield f"{when} the attacks win the least on {least}, SR@5 {low:.3f} in the worst case{rest}."
    fallen = [name for name, value in rates.items() if value >= FALLEN]
    yield f"Fallen, at {FALLEN:g} or above: {', '.join(fallen) or 'none'}."


def _too_little(rows: Rows, meta: Mapping[str, Any]) -> Iterator[str]:
    """Yield why the numbers decide nothing."""
    right, seeds = min(row["n_right"] for row in rows), len(meta["suite_seeds"])
    if right < FEWEST:
        yield f"{counted(right, 'images')} right before the attack, under {FEWEST}: this decides nothing."
    if 0 < seeds < SEEDS:
        yield f"That is {counted(seeds, 'seeds')} of detector training; a claim needs {SEEDS}."


def named(detector: str, phase: str) -> str:
    """Return the name of a detector in tables and charts."""
    return detector if phase == BEFORE else f"{detector}, retrained"


def _spread(rows: Rows, name: str) -> float | str | None:
    """Return the mean of a field over seeds, with the standard deviation where there are several."""
    return spread([row[name] for row in rows if row[name] is not None])


_PAPER: Final = {"classifier_accuracy": "classifier accuracy", "detector_accuracy": "detector accuracy"}
_WORST: Final = {"sr_at_50": "SR@50", "robust_accuracy": "robust accuracy"}
_CLEAN: Final = {"clean_right_and_accepted": "clean kept", "realised_fpr": "FPR"}
_ALONE: Final = {"attack_success_rate": "classifier fooled"}


def _headline(rows: Rows, meta: Mapping[str, Any]) -> Table:
    lines: list[list[Any]] = []
    bold: list[tuple[int, int]] = []
    for detector, phase in detectors_of(rows):
        paper, worst = of(rows, detector, phase, PAPER), of(rows, detector, phase, WORST)
        rate = rate_over_seeds(worst)
        if rate is not None and rate.value >= FALLEN:
            bold.append((len(lines), 2 + len(_PAPER)))
        count = min((row["n_right"] for row in worst), default=None)
        before = [named(detector, phase), *(_spread(paper, name) for name in _PAPER), count, rate and str(rate)]
        lossy = [_spread(worst, name) for name in _WORST]
        lines.append([*before, *lossy, *(mean_of(worst, name) for name in _CLEAN), _spread(worst, *_ALONE)])
    return Table(
        title=f"{_attacks(meta)} before and after retraining",
        header=["detector", *_PAPER.values(), "n", "SR@5", *_WORST.values(), *_CLEAN.values(), *_ALONE.values()],
        rows=lines,
        note=f"{NORMS[meta['norm']]} budget {meta['epsilon']:.4g}{meta['epsilon_from']}, attacks know classifier and "
        f"detector; {_goal(meta)}. {_mode(meta)}{''.join(f'{remark} ' for remark in meta['remarks'])}"
        f"{_definition(meta)} "
        "Classifier and detector accuracy: the paper's two columns (Table 3) under its alternation through the map, "
        "aimed at probability .5. The other columns are about the worst case: an image is lost if any of the suite's "
        "attacks wins it. The interval of SR@5 is over images and, if there are several, seeds; few seeds make it "
        "wide. SR@50: at the threshold for 50 % false positives. Robust: "
        "right or rejected; rejecting everything would win it, so beside "
        "it stand the shares of clean images that are kept (right and accepted) and rejected (FPR). Classifier fooled: "
        "of n, those on which some attack succeeds, accepted or not; SR@5 cannot be larger. Gradients go through the "
        "image, the map and every network; through JSD's Jacobian only as a softplus copy (*_parts). "
        f"{_remedied(meta)}"
        f"{meta['attacked_images']} test images; {_seeds(meta)}. {SMALL}",
        bold=bold,
    )


def _attacks_of(rows: Rows, meta: Mapping[str, Any]) -> list[str]:
    """Return the attacks of some rows in the order of the suite, the worst case last."""
    present = {row["attack"] for row in rows}
    return [attack for attack in (*meta["suite"], WORST) if attack in present]


def _cascade(rows: Rows, meta: Mapping[str, Any]) -> Table:
    """Return the number of images that each attack won, of those it was given."""
    attacks = _attacks_of(rows, meta)
    return Table(
        title="The cascade: images that each attack won first, of those that it was given",
        header=["detector", "retraining", *attacks],
        rows=[
            [detector, phase, *(_won_of_given(of(rows, detector, phase, attack)) for attack in attacks)]
            for detector, phase in detectors_of(rows)
        ],
        note="Won: at 5 % false positives. From left to right, each attack gets the images, classified right, that no "
        "attack before it has won; the paper's attacks and noise, a control, get all. Counts depend on that order; "
        "they do not compare attacks. Worst case: all images won, of all images.",
    )


def _won_of_given(rows: Rows) -> str | None:
    won = [row for row in rows if row["n_won_first"] is not None]
    return f"{sum(row['n_won_first'] for row in won)} of {sum(row['n_given'] for row in won)}" if won else None


def _remedied(meta: Mapping[str, Any]) -> str:
    names = ", ".join(dict.fromkeys(remedied["detector"] for remedied in meta["remedies"]))
    return f"Rows *_remedied of {names} stand beside the plain ones and count in the worst case. " if names else ""


def _attacks(meta: Mapping[str, Any]) -> str:
    return "Targeted white-box attacks" if meta["targeted"] else "White-box attacks"


def _goal(meta: Mapping[str, Any]) -> str:
    left = "".join(f"; without {name}, which {reason}" for name, reason in meta["left_out"].items())
    return f"{'targeted: ' + meta['targets'] if meta['targeted'] else 'untargeted'}{left}"


def _mode(meta: Mapping[str, Any]) -> str:
    """Return a note on the fields that a cascade leaves undefined."""
    if meta["mode"] == "table":
        return ""
    return (
        "Mode worst: each attack but the paper's got only the images that no attack before it had won, which leaves "
        "SR@5 and classifier fooled of the worst case as they are. SR@50 and robust accuracy of the worst case, and "
        "the rates of each attack, need `--mode table`. "
    )


def _definition(meta: Mapping[str, Any]) -> str:
    """Return the definition of SR@5, and its difference from that of the paper that named it."""
    same = "as here" if meta["targeted"] else "not any misclassified one; `--targeted` does so too"
    return (
        f"SR@5: of the images right before the attack (n), those {_WON[meta['targeted']]} and accepted after it, at "
        "the threshold for 5 % false positives on clean calibration images. Bryniarski et al. (2021) count targeted "
        f"attacks, that is, images classified as a chosen class, {same}."
    )


_WON: Final = {False: "misclassified", True: "classified as the target"}


def _seeds(meta: Mapping[str, Any]) -> str:
    seeds, whole = meta["attacked_seeds"], meta["suite_seeds"]
    deviation = ", mean ± standard deviation" if len(seeds) > 1 else ""
    fewer = f"; the worst case on seed {', '.join(map(str, whole))}" if len(whole) < len(seeds) else ""
    return f"seeds {', '.join(map(str, seeds))}{deviation}{fewer}" if seeds else "one detector"


_TITLES: Final = {
    "sr_at_5": "SR@5: of the images right before, those {} and accepted at 5 % false positives",
    "sr_at_50": "SR@50: the same at 50 % false positives",
    "fooled_both": "Those {} and accepted at probability .5, what the paper's alternation aims at",
    "attack_success_rate": "Success on the classifier alone: of the images right before, those {}, accepted or not",
    "classifier_accuracy": "Classifier accuracy under attack",
    "detector_accuracy": "Detector accuracy under attack, balanced, at probability .5",
    "robust_accuracy": "Robust accuracy with rejection at 5 % false positives",
    "auroc": "AUROC, attacked against clean images",
}


_OF_RIGHT: Final = {"sr_at_5", "sr_at_50", "fooled_both", "attack_success_rate"}
"""Shares of the images right before; the others are of all images."""


def _by_attack(rows: Rows, meta: Mapping[str, Any]) -> Iterator[Table]:
    attacks = _attacks_of([row for row in rows if row["sr_at_5"] is not None], meta)
    suite = "; ".join(f"{attack}: {words}" for attack, words in meta["suite"].items())
    right = min(row["n_right"] for row in rows)
    for name, title in _TITLES.items():
        lines = [
            [detector, phase, *(_spread(of(rows, detector, phase, attack), name) for attack in attacks)]
            for detector, phase in detectors_of(rows)
        ]
        lines = [line for line in lines if any(value is not None for value in line[2:])]
        if lines:
            about = f" {suite}" if name == "sr_at_5" else ""
            note = f"n = {right if name in _OF_RIGHT else meta['attacked_images']} images. {SMALL}{about}"
            yield Table(title.format(_WON[meta["targeted"]]), ["detector", "retraining", *attacks], lines, note)


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
        rows=[[price["detector"], price["phase"], *(price[name] for name in _PRICES)] for price in prices],
        note="How much further in L2 an attack of minimal norm goes when it must fool the detector at 5 % false "
        "positives as well as the classifier, image by image, on the images where both attacks succeed; "
        f"{meta['steps']} steps, first seed. {SMALL}",
    )


_CURVES: Final = {
    "steps": "SR@5 of the walk that won most, by steps",
    "epsilon": "SR@5 within each epsilon, of the suite and the walk that won most",
}

_CUMULATED: Final = "An image counts that the suite, or the walk at a smaller epsilon, has won within epsilon. "


def _curves(curves: Rows, meta: Mapping[str, Any]) -> Iterator[Table]:
    walks = {(point["detector"], point["phase"]): point["attack"] for point in curves}
    about = ", ".join(f"{named(*key)}: {attack}" for key, attack in walks.items())
    for across in _CURVES if curves else ():
        points = [point for point in curves if point["across"] == across]
        places = list(dict.fromkeys(point["at"] for point in points))
        right = min(point["n_right"] for point in points)
        values = {(point["detector"], point["phase"], point["at"]): point["sr_at_5"] for point in points}
        yield Table(
            title=_CURVES[across],
            header=["detector", "retraining", *(f"{place:g}" for place in places)],
            rows=[[*key, *(values.get((*key, place)) for place in places)] for key in walks],
            note=f"{meta['curve_images']} images, of which n = {right} are right before; first seed. {about}. "
            f"{_CUMULATED if across == 'epsilon' else ''}{SMALL}",
        )


def _costs(rows: Rows, meta: Mapping[str, Any]) -> Table:
    forward, backward = meta["most_passes"]
    return Table(
        title="What the attacks cost",
        header=["attack", "forward passes", "backward passes", "seconds per image"],
        rows=[
            [attack, *(mean_of([row for row in rows if row["attack"] == attack], name) for name in COSTS)]
            for attack in _attacks_of(rows, meta)
        ],
        note=f"Per image of all, mean over detectors, on {meta['device']}; a pass goes through classifier and detector "
        f"together. An image that an attack was not given counts with 0. Worst case: the suite. By the attacks' own "
        f"settings an image costs at most {forward:,} passes forward and {backward:,} backward.",
    )
