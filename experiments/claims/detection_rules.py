"""The rules of the claims about attacks that do not know the detectors, and about maps and time."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from scipy import stats

from experiments.claims.evidence import EQUIVALENT, Judged, Reports, beyond, interval_of, numbers_of
from experiments.detection.threshold.crossings import claim
from experiments.detection.transfer.records import read, summary, unseen_values
from experiments.results.bootstrap import Interval
from experiments.results.levels import DETECTED
from experiments.results.records import Record, mean_known
from experiments.results.two_samples import CHANCE
from experiments.results.verdicts import Evidence, Verdict, all_above, all_hold, evidence_above
from experiments.white_box.records import Rows

UNDERFLOWS: Final = 0.05
"""Share of images, beyond that of the logits, from which on the softmax counts as underflowing."""

REAL_TIME_MS: Final = 1000 / 30
"""Latency of a camera's frame."""

SIGNIFICANT: Final = 0.05

_NO_SWEEP: Final = "no detector was trained on an attack with an epsilon"

JACOBIAN: Final = "jsd - id, all attacks"


def compared(
    reports: Reports,
    *,
    above: Sequence[str] = (),
    below: Sequence[str] = (),
    noise: Sequence[str] = (),
    level: float = 0.0,
    ending: str = "",
    doubts: Callable[[Rows], Mapping[str, str]] = lambda _rows: {},
) -> Judged:
    """Judge contrasts of the transfer protocol, differences in AUROC.

    Args:
        reports: The protocols' reports, by name.
        above: Names of the contrasts that must lie above the level.
        below: Names of the contrasts that must lie below it.
        noise: Detectors that must also be better than the level against noise of the same norms (PROTOCOL A5).
        level: The least difference that counts, in AUROC.
        ending: Text added to the sentence.
        doubts: Why a contrast decides nothing, by its name, from the protocol's rows.
    """
    transfer = reports["transfer"]
    contrasts = {record["name"]: record for record in transfer["meta"]["contrasts"]}
    names = [*above, *below, *(f"{name} against noise, unseen attacks, above {DETECTED}" for name in noise)]
    absent = [name for name in names if name not in contrasts]
    if absent:
        return f"the run does not allow to compute: {', '.join(absent)}"
    intervals = {name: beyond(interval_of(contrasts[name]), level, above=name not in below) for name in names}
    sentence = numbers_of([contrasts[name] for name in names]) + ending
    return evidence_above(intervals, sentence, doubts=doubts(transfer["rows"]))


def id_at_ceiling(rows: Rows) -> dict[str, str]:
    """Return why JSD cannot be better than ID by the margin: ID is at the ceiling on the cells of the contrast."""
    aurocs = {detector: _aurocs_of(rows, detector) for detector in ("id", "jsd")}
    mean = mean_known(value for cell, value in aurocs["id"].items() if cell in aurocs["jsd"]) or 0.0
    reason = f"id has a mean AUROC of {mean:.3f}, so nothing can be ahead of it by {EQUIVALENT}"
    return {JACOBIAN: reason} if mean > 1 - EQUIVALENT else {}


def _aurocs_of(rows: Rows, detector: str) -> dict[tuple[str, str], float]:
    """Return the AUROCs on all pairs by attack trained on and tested on, without training on several attacks."""
    attacks = {row["tested_on"] for row in rows}
    return {
        (trained_on, attack): mean
        for (name, trained_on), cells in summary(read(rows)).items()
        for attack, mean in cells.items()
        if name == detector and trained_on in attacks and mean is not None
    }


def shift(reports: Reports) -> Judged:
    """Judge whether the learnt maps of a pair differ as much as those of different images, under every attack."""
    wanted = ("learnt", "natural - adversarial", "all")
    rows = [r for r in reports["shift"]["rows"] if (r["map"], r["sample"], r["subset"]) == wanted and r["verdict"]]
    if not rows:
        return "the run has no learnt saliency model, or no attack"
    numbers = (f"{r['attack']} P(X > Y) {r['probability']:.2f} [{r['low']:.2f}, {r['high']:.2f}]" for r in rows)
    equal = [row["attack"] for row in rows if row["low"] == row["high"] == CHANCE]
    doubts = [f"all distances are equal under {', '.join(equal)}"] if equal else []
    verdict = all_hold(["not decided" if row["attack"] in equal else _AS_LARGE[row["verdict"]] for row in rows])
    counts = {"pairs": min(min(row["n"], row.get("n_different", row["n"])) for row in rows)}
    return Evidence(verdict, ", ".join(numbers), counts, doubts)


_AS_LARGE: Final[Mapping[str, Verdict]] = {
    "as large": "holds",
    "larger": "holds",
    "smaller": "does not hold",
    "not decided": "not decided",
}


def threshold(reports: Reports) -> Judged:
    """Judge where each detector fails on its own attack, on successful pairs, by the rule of the protocol's finding."""
    meta = reports["threshold"]["meta"]
    of_auroc = [row for row in meta["crossings"] if (row["measure"], row["subset"]) == ("auroc", "successful")]
    of_own_attack = [row for row in of_auroc if row["trained_on"] == row["attack"]]
    if any("lowest" not in row for row in of_own_attack):
        return "the report is of an older version: run `evaluate.py threshold` again"
    by_attack: dict[str, dict[str, Record]] = {}
    for row in of_own_attack:
        by_attack.setdefault(row["attack"], {})[row["detector"]] = row
    if not by_attack:
        return _NO_SWEEP
    verdicts = {attack: claim(crossings, meta["smallest"]) for attack, crossings in by_attack.items()}
    lowest = {f"{row['detector']} on {row['attack']}": row["lowest"] for row in of_own_attack if row["lowest"]}
    numbers = "; ".join(f"{name} at epsilon {low['epsilon']:g} {interval_of(low)}" for name, low in lowest.items())
    return Evidence(
        all_hold([verdict for verdict, _ in verdicts.values()]),
        f"lowest AUROC on successful pairs, a detector fails under {meta['level']}: {numbers or 'none'}",
        {"pairs": min((low["pairs"] for low in lowest.values()), default=0)},
        [f"{attack}: {reason}" for attack, (verdict, reason) in verdicts.items() if verdict == "not decided"],
    )


def real_time(reports: Reports) -> Judged:
    """Judge whether nearly all single images are classified and scored within a camera's frame."""
    speed = reports["speed"]
    row = next((row for row in speed["rows"] if row["detector"] == "spd"), None)
    if row is None:
        return "the run has no detector named spd"
    sentence = (
        f"classifier and SPD: 95 % of single images within {row['latency_p95_ms']:.1f} ms, "
        f"{row['time_ratio']:.1f} times the classifier alone in batches; a camera's frame takes {REAL_TIME_MS:.1f} ms"
    )
    counts = {"timed runs": speed["meta"]["repeats"]["latency"]} if "repeats" in speed["meta"] else {}
    if _is_unsteady(speed):
        return Evidence("not decided", sentence, counts, ["the times were unsteady: measure on an idle machine"])
    verdict: Verdict = "holds" if row["latency_p95_ms"] < REAL_TIME_MS else "does not hold"
    return Evidence(verdict, sentence, counts)


def _is_unsteady(speed: Mapping[str, Any]) -> bool:
    """Return whether the times were unsteady; older files say so only in a flag."""
    flags = speed.get("report", {}).get("flags", [])
    raised = any(flag["raised"] for flag in flags if flag["name"] == "Unsteady times")
    return bool(speed["meta"].get("unsteady", raised))


def underflow(reports: Reports) -> Judged:
    """Judge whether the gradient of the softmax vanishes on more images than that of the logits, by a margin."""
    share = reports["transfer"]["meta"]["underflow"]
    sentence = (
        f"the gradient of the largest softmax probability is exactly zero on {share['share']:.3f} "
        f"[{share['low']:.3f}, {share['high']:.3f}] of {share['n']} clean images, that of the logit on "
        f"{share['share_logit']:.3f}; it underflows from {UNDERFLOWS} more on"
    )
    ends = Interval(share["share"], share["low"], share["high"])
    apart = beyond(ends, share["share_logit"] + UNDERFLOWS, above=True)
    return Evidence(all_above([apart]), sentence, {"images": share["n"]})


def follows_size(reports: Reports) -> Judged:
    """Judge whether the learnt detectors' mean AUROC on unseen attacks rises with the size of the perturbations."""
    aurocs = _learnt_aurocs(reports["transfer"]["rows"])
    detection = {attack: statistics.fmean(values) for attack, values in aurocs.items()}
    correlations = {}
    for norm in ("l2", "linf"):
        sizes = {
            row["attack"]: row["mean"]
            for row in reports["strength"]["rows"]
            if (row["norm"], row["subset"]) == (norm, "all") and row["mean"] is not None
        }
        attacks = [attack for attack in sizes if attack in detection]
        if len(attacks) < 2:  # noqa: PLR2004 - one point has no rank
            return f"attacks with a size and an AUROC: {len(attacks)}; there is no rank correlation"
        rho, p = _spearman(tuple(sizes[attack] for attack in attacks), tuple(detection[attack] for attack in attacks))
        correlations[norm] = rho, p, len(attacks)
    numbers = (f"{norm}: Spearman {rho:.2f}, p {p:.3f}, {n} attacks" for norm, (rho, p, n) in correlations.items())
    cells = sum(map(len, aurocs.values()))
    means = f"mean AUROC of learnt detectors on attacks that they were not trained on, {cells} cells"
    verdict = all_hold([_rises(rho, p) for rho, p, _ in correlations.values()])
    counts = {"attacks": min(n for *_, n in correlations.values())}
    return Evidence(verdict, f"{means}: {'; '.join(numbers)}", counts)


def _rises(rho: float, p: float) -> Verdict:
    """Return whether a rank correlation is above 0."""
    if not p < SIGNIFICANT:  # NaN where all values are equal
        return "not decided"
    return "holds" if rho > 0 else "does not hold"


def _learnt_aurocs(rows: Rows) -> dict[str, list[float]]:
    """Return the AUROCs under each attack in the learnt detectors' cells of `compared`."""
    aurocs: dict[str, list[float]] = {}
    for cells in unseen_values(read(rows)).values():
        for cell, auroc in cells:
            if cell.trained_on is not None:
                aurocs.setdefault(cell.tested_on, []).append(auroc)
    return aurocs


@lru_cache  # with seven attacks it takes seconds, and a report is written after every protocol
def _spearman(first: tuple[float, ...], second: tuple[float, ...]) -> tuple[float, float]:
    """Return the rank correlation, and its p from all (or many) permutations, for there are few attacks."""
    tested = stats.permutation_test(
        (first,),
        lambda order: stats.spearmanr(order, second).statistic,
        permutation_type="pairings",
        n_resamples=10000,
        rng=0,
    )
    return float(tested.statistic), float(tested.pvalue)
