"""Flags of the white-box protocol: checks of its own validity (PROTOCOL D and E)."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, Literal

from experiments.results.result import Flag
from experiments.results.verdicts import FEWEST, counted
from experiments.white_box.records import (
    NORMS,
    WORST,
    Checks,
    GradientCheck,
    Remedied,
    Rows,
    WhiteBoxRecords,
    detectors_of,
    mean_of,
    of,
)

SLACK: Final = 0.05
"""Largest shortfall of a stronger attack behind a weaker one, in SR@5: a few images."""

NEARLY_ALL: Final = 0.95
"""Least success of an attack without a budget, or on a broken detector."""

_ENOUGH: Final = 4
"""Attacks beside the paper's from which on a worst case is one of a suite."""


def flags(
    records: WhiteBoxRecords,
    epsilon: float,
    training_steps: int | None,
    norm: Literal["linf", "l2"] = "linf",
    attacks: Sequence[str] | None = None,
) -> list[Flag]:
    """Return all flags.

    Args:
        records: All measurements.
        epsilon: The budget.
        training_steps: Steps of the attack that detectors were retrained against; None: there is no such attack.
        norm: Norm of the budget.
        attacks: Those that ran beside the paper's and noise; None: all.
    """
    return [
        few_images(records.rows),
        few_attacks(attacks),
        budget(records.rows, records.checks.span, epsilon, norm),
        gradients_vanish(records.checks.gradients),
        determined(records.checks.undetermined),
        remedies(records.remedies),
        *orders(records.rows),
        *along_curves(records.curves),
        _self_test(records.checks),
        fresh(records.checks.longest_retrained, training_steps),
        *not_finite(records.checks.not_finite),
    ]


def few_images(rows: Rows) -> Flag:
    """Return whether rates rest on too few images."""
    fewest = min(row["n_right"] for row in rows)
    sentence = f"Rates rest on {counted(fewest, 'images')} right before the attack; below {FEWEST} they decide nothing."
    return Flag("Few images", fewest < FEWEST, sentence)


def few_attacks(attacks: Sequence[str] | None) -> Flag:
    """Return whether so few attacks ran beside the paper's (None: all) that a low rate may be theirs to blame."""
    if attacks is None or len(attacks) >= _ENOUGH:
        return Flag("Few attacks", raised=False, sentence="Many attacks ran beside the paper's.")
    ran = f"Beside the paper's attacks and noise only {', '.join(attacks)} ran"
    advice = "a low SR@5 may be a failure of these attacks; report --preset standard or thorough"
    return Flag("Few attacks", raised=True, sentence=f"{ran}: {advice}.")


def budget(rows: Rows, span: tuple[float, float], epsilon: float, norm: Literal["linf", "l2"] = "linf") -> Flag:
    """Return whether an image left the budget or [0, 1]; `span` has the smallest and largest pixel value."""
    largest = max(row[norm] for row in rows if row[norm] is not None)
    low, high = span
    return Flag(
        "Box and budget of every returned image",
        largest > epsilon * (1 + _ROUNDING) + _ROUNDING or low < 0 or high > 1,
        f"Largest {NORMS[norm]} change {largest:.4f} for a budget of {epsilon:g}, values from {low:g} to {high:g}; "
        "success is computed anew from the images.",
    )


_ROUNDING: Final = 1e-6


def _of_seed(seed: int | None) -> str:
    return "" if seed is None else f", seed {seed}"


def gradients_vanish(checks: Sequence[GradientCheck]) -> Flag:
    """Return whether a gradient is zero or not finite on some image."""
    wrong = [
        f"{name} ({phase} retraining{_of_seed(seed)}): zero {zero:.3f}, not finite {broken:.3f}"
        for name, phase, seed, zero, broken in checks
        if zero or broken
    ]
    sentence = f"Share of images on which one is exactly zero or not finite: {', '.join(wrong)}. {_ESTIMATE}"
    name = "Gradients of scores and of the classifier's margin at the clean images"
    return Flag(name, bool(wrong), sentence if wrong else "They are zero on no image.")


def determined(moving: Sequence[str]) -> Flag:
    """Return whether there are detectors whose scores differ between calls."""
    sentence = f"Scores of the same images differ between calls: {', '.join(moving)}. {_AVERAGE}"
    return Flag("Determinism", bool(moving), sentence if moving else "Every detector gives the same scores twice.")


_ESTIMATE: Final = (
    "Remedy, unless --remedies none is given: a score's gradient is estimated (attacks.Estimation); where one part has "
    "none, name it by --bpda, or let the detector declare it in straight_through (attacks.StraightThrough). For the "
    "classifier's margin there is none: Square needs no gradient."
)
_AVERAGE: Final = (
    "Remedy, unless --remedies none is given: the mean of several passes is attacked (attacks.Expectation)."
)
_UNMASK: Final = "Remedy: the gradient is masked; name the part that masks it by --bpda."


def remedies(applied: Sequence[Remedied]) -> Flag:
    """Return which remedies were applied to which detector, and why; None where there were none."""
    which = [
        f"{item.remedy} on {item.detector} ({item.phase} retraining{_of_seed(item.seed)}), because {item.why}"
        for item in applied
    ]
    sentence = f"In the rows *_remedied: {'; '.join(which)}." if which else "None was applied."
    return Flag("Remedies against masked gradients", False if which else None, sentence)


_PLAIN: Final = (
    "selective",
    "orthogonal",
    "hinged",
    "hinged_textured",
    "hinged_long",
    "lagrangian",
    "hinged_apgd",
    "alternating_aimed",
)
_PARTS: Final = (
    *("selective_parts", "orthogonal_parts", "hinged_parts"),
    *("selective_remedied", "hinged_remedied", "hinged_textured_remedied"),
)

_BLIND: Final = ("square", "hop_skip_jump")
"""Attacks without gradients; in a cascade they come after all that use those of the attacked system."""

_GRADIENTS: Final = "Gradients at least as strong as the gradient-free attack"

_ORDERS: Final = (
    ("White-box at least as strong as transfer", (*_PLAIN, *_PARTS), "transfer", "sr_at_5"),
    (_GRADIENTS, (*_PLAIN, *_PARTS), "square", "sr_at_5"),
    ("The same without the detector's parts: else they mask its gradient", _PLAIN, "square", "sr_at_5"),
    ("Transfer at least as strong as noise of its size", ("transfer",), "noise", "sr_at_5"),
    (
        "Orthogonal or Selective PGD at least as strong as the alternation with the same aim and steps",
        ("selective", "orthogonal", *_PARTS),
        "alternating_aimed",
        "sr_at_5",
    ),
    ("More iterations of the paper's alternation never weaker", ("alternating_long",), "alternating", "fooled_both"),
)
"""Name; attacks; the reference that their best one must match; the field compared."""

_REMEDIES: Final = {"square": _UNMASK, "transfer": _UNMASK}
"""Advice if a reference attack wins more, by its name."""


def orders(rows: Rows) -> Iterator[Flag]:
    """Yield for each rule of `_ORDERS` whether a detector breaks it; None where none has both attacks."""
    for name, stronger, weaker, field in _ORDERS:
        pairs = []
        for detector, phase in detectors_of(rows):
            values = [mean_of(of(rows, detector, phase, attack), field) for attack in (*stronger, weaker)]
            high, low = max((value for value in values[:-1] if value is not None), default=None), values[-1]
            if name == _GRADIENTS and high is None:
                high, low = _in_cascade([row for row in rows if (row["detector"], row["phase"]) == (detector, phase)])
            if high is not None and low is not None:
                pairs.append((f"{detector}, {phase} retraining", high, low))
        wrong = [f"{which}: {high:.3f} < {low:.3f}" for which, high, low in pairs if high < low - SLACK]
        remedy = f". {_REMEDIES[weaker]}" if wrong and weaker in _REMEDIES else ""
        sentence = f"{field}: {_holds_unless(wrong)}{remedy}" if pairs else "Not measured in this run."
        yield Flag(name, bool(wrong) if pairs else None, sentence)


def _in_cascade(rows: Rows) -> tuple[float | None, float | None]:
    """Return the share of images that gradients won in a cascade, and that won by them and, after them, without any.

    None: gradients took no part, or nothing without them.
    """
    right = sum(row["n_right"] for row in rows if row["attack"] == WORST)
    blind = [row for row in rows if row["attack"] in _BLIND]
    if not (right and blind and any(row["attack"] in (*_PLAIN, *_PARTS) for row in rows)):
        return None, None
    others = [row for row in rows if row["attack"] not in (*_BLIND, WORST)]
    won, more = (sum(row["n_won_first"] or 0 for row in part) / right for part in (others, blind))
    return won, won + more


def _holds_unless(wrong: Sequence[str]) -> str:
    return "; ".join(wrong) or f"It holds within {SLACK:g} on every detector."


def along_curves(curves: Rows) -> Iterator[Flag]:
    """Yield whether more steps weaken an attack, and what the smallest and largest budget win."""
    wrong = []
    for key in detectors_of(curves):
        values = [point["sr_at_5"] for point in _known(curves, "steps") if (point["detector"], point["phase"]) == key]
        fall = max((a - b for a, b in pairwise(values)), default=0.0)
        if fall > SLACK:
            wrong.append(f"{key[0]}, {key[1]} retraining: falls by {fall:.3f}")
    sentence = _holds_unless(wrong) if curves else _NO_CURVES
    yield Flag("More steps never weaker", bool(wrong) if curves else None, sentence)
    none = [point["sr_at_5"] for point in _known(curves, "epsilon") if point["at"] == 0]
    sentence = f"SR@5 at epsilon 0: at most {max(none):.3f}." if none else _NO_CURVES
    yield Flag("Epsilon 0 gives exactly the clean result", any(none) if none else None, sentence)
    most = max((point["at"] for point in curves if point["across"] == "epsilon"), default=1)
    every = [point for point in _known(curves, "epsilon") if point["at"] == most]
    low = [
        f"{point['detector']}, {point['phase']} retraining {point['sr_at_5']:.3f}"
        for point in every
        if point["sr_at_5"] < NEARLY_ALL
    ]
    sentence = f"SR@5 under .95: {', '.join(low)}." if low else "It is." if every else _NO_CURVES
    yield Flag(f"Without a budget (epsilon {most:g}) nearly every image is won", bool(low) if every else None, sentence)


_NO_CURVES: Final = "No curves were made."


def _known(curves: Rows, across: str) -> Rows:
    return [point for point in curves if point["across"] == across and point["sr_at_5"] is not None]


def _self_test(checks: Checks) -> Flag:
    fooled, share = checks.self_test_fooled, checks.self_test_accepted
    return Flag(
        "Self-test: a detector that only looks at the mean brightness falls",
        share < NEARLY_ALL if fooled else None,
        f"Selective PGD, 50 steps: of {fooled} images that fool the classifier, {share:.3f} are accepted.",
    )


def fresh(longest: int | None, training_steps: int | None) -> Flag:
    """Return whether the longest walk against retrained detectors has too few steps beside the one in retraining."""
    name = "Retrained detectors are attacked afresh with ten times the steps, and by another kind"
    if training_steps is None or longest is None:
        return Flag(name, None, "No detector was retrained.")
    return Flag(
        name,
        longest < 10 * training_steps,
        f"Trained against {training_steps} steps; the longest walk here has {longest}; Square, of another kind, "
        "has none.",
    )


def not_finite(counts: Mapping[str, tuple[int, int]]) -> Iterator[Flag]:
    """Yield for each detector that may give scores which are NaN or infinite whether it did."""
    for name, (clean, attacked) in counts.items():
        images = f"{clean} of the clean images and {attacked} of all attacked ones"
        sentence = f"{name} gives them for {images}; they count as rejected."
        yield Flag("Scores that are NaN or infinite", clean + attacked > 0, sentence)
