"""The rules of the claims about attacks that know the detectors."""

from collections.abc import Iterable, Mapping
from typing import Final

from experiments.claims.evidence import EQUIVALENT, FOUR, Judged, Reports, beyond, interval_of, numbers_of
from experiments.results.verdicts import evidence_above
from experiments.white_box.contrasts import LONGER, MIX
from experiments.white_box.records import BEFORE, PAPER, WORST, Rows, mean_of, of, rate_over_seeds

LONG: Final = 50
"""Iterations of a white-box attack that are many more than the paper's five."""

HALF: Final = 0.5
"""Share of the images, right before, that white-box attacks must win for a detector to count as fallen."""

RIGHT: Final = "images classified right"


def under_attack(reports: Reports, *, phase: str, falls: Mapping[str, bool]) -> Judged:
    """Judge whether detectors fall: the worst case of SR@5 over, or under, a half.

    Args:
        reports: The protocols' reports, by name.
        phase: before or after retraining.
        falls: Whether the claim says that a detector falls, by detector.
    """
    every = {name: of(reports["white-box"]["rows"], name, phase, WORST) for name in falls}
    with_rate = {name: [row for row in rows if row["sr_at_5"] is not None] for name, rows in every.items()}
    absent = [name for name, rows in with_rate.items() if not rows]
    if absent:
        return f"no worst case {phase} retraining of {', '.join(absent)}"
    rates = {name: rate for name, rows in with_rate.items() if (rate := rate_over_seeds(rows)) is not None}
    numbers = ", ".join(f"{name} {rate}" for name, rate in rates.items())
    sentence = f"worst case of SR@5, {phase} retraining: {numbers}; a detector falls above {HALF}, it is robust below"
    apart = {name: beyond(rate, HALF, above=falls[name]) for name, rate in rates.items()}
    return evidence_above(apart, sentence, _counts(with_rate.values()))


def _counts(by_detector: Iterable[Rows]) -> dict[str, int]:
    """Return the fewest images classified right, and the fewest seeds, of the rows of each detector."""
    groups = list(by_detector)
    right = min(row["n_right"] for rows in groups for row in rows)
    return {RIGHT: right, "seeds": min(len({row["seed"] for row in rows}) for rows in groups)}


def longer(reports: Reports) -> Judged:
    """Judge whether many more iterations than the paper's win no more images, by an equivalence test."""
    meta = reports["white-box"]["meta"]
    if meta["steps"] < LONG:
        return f"{meta['steps']} steps; ten times the paper's five are needed"
    ending = f"; T = {meta['steps']} minus T = 5; to help means by more than {EQUIVALENT}"
    doubts = _won_already(reports["white-box"]["rows"])
    return _of_attacks(reports, LONGER, EQUIVALENT, above=False, ending=ending, doubts=doubts)


def _won_already(rows: Rows) -> dict[str, str]:
    """Return why more iterations cannot win more by the margin, by contrast: five of them win nearly all images."""
    shares = {name: mean_of(of(rows, name, BEFORE, PAPER), "fooled_both") or 0.0 for name in FOUR}
    reason = "five iterations win {:.3f} of the images on {}, so that more cannot help by {}"
    full = {name: share for name, share in shares.items() if share > 1 - EQUIVALENT}
    return {f"{name}, {LONGER}": reason.format(share, name, EQUIVALENT) for name, share in full.items()}


def mix(reports: Reports) -> Judged:
    """Judge whether the paper's alternation wins more images than Metzen's mix on every detector."""
    return _of_attacks(reports, MIX, 0.0, above=True)


def _of_attacks(
    reports: Reports,
    name: str,
    level: float,
    *,
    above: bool,
    ending: str = "",
    doubts: Mapping[str, str] | None = None,
) -> Judged:
    """Judge the contrast between two white-box attacks on each detector, which must lie above, or below, a level."""
    report = reports["white-box"]
    records = [record for record in report["meta"]["contrasts"] if record["name"].endswith(f", {name}")]
    absent = sorted(set(FOUR) - {record["detector"] for record in records})
    if absent:
        return f"not attacked: {', '.join(absent)}"
    intervals = {record["name"]: beyond(interval_of(record), level, above=above) for record in records}
    counts = _counts(of(report["rows"], detector, BEFORE, PAPER) for detector in FOUR)
    sentence = f"images won at probability .5: {numbers_of(records)}{ending}"
    return evidence_above(intervals, sentence, counts, doubts)
