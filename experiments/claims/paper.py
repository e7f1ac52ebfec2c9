"""The paper's claims, each judged by a rule from the records of the protocols; nothing here is written by hand."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from scipy import stats

from experiments.detection.threshold.crossings import claim
from experiments.results.bootstrap import Interval
from experiments.results.verdicts import FEWEST, Claim, Verdict, all_above
from experiments.study.metrics import DETECTED, SEEDS
from experiments.white_box.contrasts import LONGER, MIX

Reports = Mapping[str, Mapping[str, Any]]
"""The contents of each protocol's JSON, by its name."""

JUDGED: Final = ("transfer", "strength", "shift", "threshold", "speed", "white-box")
"""The protocols that claims are judged from."""

EQUIVALENT: Final = 0.02
"""AUROC by which one detector must be ahead to count as better, where a claim says that it is no better."""

LONG: Final = 50
"""Iterations of a white-box attack that are many more than the paper's five."""

HALF: Final = 0.5
"""Share of the images, right before, that white-box attacks must win for a detector to count as fallen."""

REAL_TIME_MS: Final = 1000 / 30
"""Latency of a camera's frame."""

SIGNIFICANT: Final = 0.05

Judged = tuple[Verdict, str]
_Rule = Callable[[Reports], Judged]

_FOUR: Final = ("id", "jsd", "smd", "spd")
_MASKS: Final = ("spd", "smd")


def judge(reports: Reports) -> list[Claim]:
    """Return all claims with their verdicts; one whose protocol was not run is not decided."""
    return [Claim(number, text, *_judged(reports, rule, protocols)) for number, protocols, rule, text in _CLAIMS]


def interval_of(record: Mapping[str, Any]) -> Interval:
    """Return the interval of a contrast's record."""
    return Interval(record["value"], record["low"], record["high"])


def _judged(reports: Reports, rule: _Rule, protocols: Sequence[str]) -> Judged:
    """Apply a rule where the protocols that it needs were run; decide where they had enough images."""
    few = []
    for name in protocols:
        if name not in reports:
            return _undecided(f"`evaluate.py {name}` was not run")
        meta = reports[name]["meta"]
        count = meta.get("attacked_images", meta.get("test_images"))
        if name != "speed" and count is not None and count < FEWEST:  # times do not rest on images
            few.append(f"{count} images of {name}")
    return _if_enough(*rule(reports), ", ".join(few), FEWEST)


def _undecided(reason: str) -> Judged:
    return "not decided", reason


def _if_enough(verdict: Verdict, sentence: str, few: str, needed: int) -> Judged:
    """Leave a claim undecided if `few` names what is too few, and say what the verdict would be."""
    if not few or verdict == "not decided":
        return verdict, sentence
    return _undecided(f"{few}, a claim needs {needed}; on these it {verdict}: {sentence}")


def _with_seeds(verdict: Verdict, sentence: str, seeds: Sequence[int]) -> Judged:
    """Leave a claim about detectors undecided where they were trained on too few seeds."""
    return _if_enough(verdict, sentence, f"{len(seeds)} seed(s)" if len(seeds) < SEEDS else "", SEEDS)


def _beyond(interval: Interval, level: float, *, above: bool) -> Interval:
    """Return by how much a statistic lies above a level, or below it."""
    apart = Interval(interval.value - level, interval.low - level, interval.high - level)
    return apart if above else -apart


def _text(records: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"{r['name']}: {r['value']:+.3f} [{r['low']:+.3f}, {r['high']:+.3f}]" for r in records)


def _compared(
    reports: Reports,
    *,
    above: Sequence[str] = (),
    below: Sequence[str] = (),
    noise: Sequence[str] = (),
    level: float = 0.0,
    ending: str = "",
) -> Judged:
    """Judge contrasts of the transfer protocol, differences in AUROC.

    Args:
        reports: Of the protocols.
        above: Names of those that must lie above the level.
        below: Names of those that must lie below it.
        noise: Detectors of which the claim must also hold against noise of the same norms (PROTOCOL A5).
        level: In AUROC.
        ending: Of the sentence.
    """
    known = {record["name"]: record for record in reports["transfer"]["meta"]["contrasts"]}
    names = [*above, *below, *(f"{name} against noise, unseen attacks, above {DETECTED}" for name in noise)]
    absent = [name for name in names if name not in known]
    if absent:
        return _undecided(f"the run does not allow to compute: {', '.join(absent)}")
    verdict = all_above([_beyond(interval_of(known[name]), level, above=name not in below) for name in names])
    sentence = _text([known[name] for name in names]) + ending
    return _with_seeds(verdict, sentence, reports["transfer"]["meta"]["seeds"])


def _shift(reports: Reports) -> Judged:
    wanted = ("learnt", "natural - adversarial", "all")
    rows = [r for r in reports["shift"]["rows"] if (r["map"], r["sample"], r["subset"]) == wanted and r["verdict"]]
    if not rows:
        return _undecided("the run has no learnt saliency model, or no attack")
    numbers = (f"{r['attack']} P(X > Y) {r['probability']:.2f} [{r['low']:.2f}, {r['high']:.2f}]" for r in rows)
    verdicts = {row["verdict"] for row in rows}
    as_large: Verdict = "holds" if verdicts <= {"as large", "larger"} else "not decided"
    return ("does not hold" if "smaller" in verdicts else as_large), ", ".join(numbers)


def _threshold(reports: Reports) -> Judged:
    meta = reports["threshold"]["meta"]
    crossings = [each for each in meta["crossings"] if (each["measure"], each["subset"]) == ("auroc", "successful")]
    if not crossings:
        return _undecided("no detector was trained on an attack with an epsilon")
    verdicts = {_one_threshold(crossings, attack, meta["smallest"]) for attack in {c["attack"] for c in crossings}}
    verdict: Verdict = verdicts.pop() if len(verdicts) == 1 else "not decided"
    where = "; ".join(f"{each['detector']} on {each['attack']}: {each['told']}" for each in crossings)
    sentence = f"epsilon below which the mean AUROC on successful pairs falls under {meta['level']}: {where}"
    return _with_seeds(verdict, sentence, meta["seeds"])


def _one_threshold(crossings: Sequence[Mapping[str, Any]], attack: str, smallest: float) -> Verdict:
    """Judge one attack's curves, by the rule of the protocol itself."""
    said = claim({each["detector"]: each for each in crossings if each["attack"] == attack}, smallest)
    return "holds" if said == "holds" else "does not hold" if said.startswith("does not hold") else "not decided"


def _real_time(reports: Reports) -> Judged:
    row = next((row for row in reports["speed"]["rows"] if row["detector"] == "spd"), None)
    if row is None:
        return _undecided("the run has no detector named spd")
    sentence = (
        f"classifier and SPD: 95 % of single images within {row['latency_p95_ms']:.1f} ms, "
        f"{row['time_ratio']:.1f} times the classifier alone in batches; a camera's frame takes {REAL_TIME_MS:.1f} ms"
    )
    return ("holds" if row["latency_p95_ms"] < REAL_TIME_MS else "does not hold"), sentence


def _underflow(reports: Reports) -> Judged:
    share = reports["transfer"]["meta"]["underflow"]
    sentence = (
        f"the gradient of the largest softmax probability is exactly zero on {share['share']:.3f} "
        f"[{share['low']:.3f}, {share['high']:.3f}] of {share['n']} clean images, that of the logit on "
        f"{share['share_logit']:.3f}"
    )
    if share["low"] > share["share_logit"]:
        return "holds", sentence
    return ("does not hold" if share["share"] == 0 else "not decided"), sentence


def _follows_size(reports: Reports) -> Judged:
    detection = _mean_aurocs(reports["transfer"]["rows"])
    results = []
    for norm in ("l2", "linf"):
        sizes = {
            row["attack"]: row["mean"]
            for row in reports["strength"]["rows"]
            if (row["norm"], row["subset"]) == (norm, "all") and row["mean"] is not None
        }
        attacks = [attack for attack in sizes if attack in detection]
        if len(attacks) < 4:  # noqa: PLR2004 - with three, no order has a p below .05
            return _undecided(f"{len(attacks)} attacks: too few for a rank correlation")
        rho, p = _spearman([sizes[attack] for attack in attacks], [detection[attack] for attack in attacks])
        results.append((norm, rho, p, len(attacks)))
    sentence = ", ".join(f"{norm}: Spearman {rho:.2f}, p {p:.3f}, {n} attacks" for norm, rho, p, n in results)
    verdict: Verdict = "not decided"
    if all(rho > 0 and p < SIGNIFICANT for _, rho, p, _ in results):
        verdict = "holds"
    elif any(rho < 0 and p < SIGNIFICANT for _, rho, p, _ in results):
        verdict = "does not hold"
    return _with_seeds(verdict, sentence, reports["transfer"]["meta"]["seeds"])


def _mean_aurocs(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the mean AUROC under each attack over detectors that were trained on one attack."""
    whole = [row for row in rows if row["subset"] == "all"]
    attacks = {row["tested_on"] for row in whole}
    aurocs: dict[str, list[float]] = {}
    for row in whole:
        if row["trained_on"] in attacks and row["auroc"] is not None:  # not those trained on all attacks but one
            aurocs.setdefault(row["tested_on"], []).append(row["auroc"])
    return {attack: statistics.fmean(values) for attack, values in aurocs.items()}


def _spearman(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Return the rank correlation, and its p from all (or many) permutations, for there are few attacks."""
    tested = stats.permutation_test(
        (first,),
        lambda order: stats.spearmanr(order, second).statistic,
        permutation_type="pairings",
        n_resamples=10000,
        rng=0,
    )
    return float(tested.statistic), float(tested.pvalue)


def _under_attack(reports: Reports, *, phase: str, falls: Mapping[str, bool]) -> Judged:
    """Judge whether detectors fall: the worst case of SR@5 over, or under, a half on every seed.

    Args:
        reports: Of the protocols.
        phase: before or after retraining.
        falls: By detector, whether the claim is that it falls.
    """
    rows = [r for r in reports["white-box"]["rows"] if (r["phase"], r["attack"]) == (phase, "worst case")]
    known = {name: [r for r in rows if r["detector"] == name and r["sr_at_5"] is not None] for name in falls}
    absent = [name for name, mine in known.items() if not mine]
    if absent:
        return _undecided(f"no worst case {phase} retraining of {', '.join(absent)}")
    rates = {
        name: Interval(
            statistics.fmean(row["sr_at_5"] for row in mine),
            min(row["sr_at_5_low"] for row in mine),
            max(row["sr_at_5_high"] for row in mine),
        )
        for name, mine in known.items()
    }
    verdict = all_above([_beyond(rate, HALF, above=falls[name]) for name, rate in rates.items()])
    numbers = ", ".join(f"{name} {rate}" for name, rate in rates.items())
    sentence = f"worst case of SR@5, {phase} retraining: {numbers}; a detector falls above {HALF}, it is robust below"
    seeds = min(([*{row["seed"] for row in mine}] for mine in known.values()), key=len)
    return _with_seeds(verdict, sentence, seeds)


def _longer(reports: Reports) -> Judged:
    records, absent = _of_attacks(reports, LONGER)
    meta = reports["white-box"]["meta"]
    if absent:
        return _undecided(absent)
    if meta["steps"] < LONG:
        return _undecided(f"{meta['steps']} steps; ten times the paper's five are needed")
    verdict = all_above([_beyond(interval_of(record), EQUIVALENT, above=False) for record in records])
    numbers = f"images won at probability .5, T = {meta['steps']} minus T = 5: {_text(records)}"
    return _with_seeds(verdict, f"{numbers}; to help means by more than {EQUIVALENT}", meta["attacked_seeds"])


def _mix(reports: Reports) -> Judged:
    records, absent = _of_attacks(reports, MIX)
    if absent:
        return _undecided(absent)
    sentence = f"images won at probability .5: {_text(records)}"
    return _with_seeds(
        all_above(list(map(interval_of, records))), sentence, reports["white-box"]["meta"]["attacked_seeds"]
    )


def _of_attacks(reports: Reports, ending: str) -> tuple[list[Mapping[str, Any]], str]:
    """Return the contrasts between two white-box attacks, one for each detector, and why a claim lacks some."""
    records = [each for each in reports["white-box"]["meta"]["contrasts"] if each["name"].endswith(f", {ending}")]
    absent = sorted(set(_FOUR) - {each["detector"] for each in records})
    return records, f"not attacked: {', '.join(absent)}" if absent else ""


_OTHERS: Final = "{}, from FGSM to other attacks, above " + str(DETECTED)

_best = partial(_compared, above=[f"spd - {name}, unseen attacks" for name in ("smd", "id", "jsd")], noise=["spd"])
_weak_to_strong = partial(
    _compared, above=[_OTHERS.format("spd")], below=[_OTHERS.format("id"), _OTHERS.format("jsd")], noise=["spd"]
)
_jacobian = partial(
    _compared, below=["jsd - id, all attacks"], level=EQUIVALENT, ending=f"; better means by more than {EQUIVALENT}"
)
_sparse = partial(_compared, below=[f"{name}, JSMA - other attacks" for name in _FOUR])
_families = partial(_compared, above=["same family of norms - another, attacks not trained on"])
_learnt = partial(_compared, above=[f"{name} - disagreement, unseen attacks" for name in _MASKS], noise=_MASKS)
_selector = partial(_compared, above=[f"{name} - {name} (true label), all attacks" for name in _MASKS])
_all_fall = partial(_under_attack, phase="before", falls=dict.fromkeys(_FOUR, True))
_spd_robust = partial(_under_attack, phase="after", falls={"spd": False, "smd": True})

_TRANSFER, _WHITE_BOX = ("transfer",), ("white-box",)

_CLAIMS: Final[Sequence[tuple[str, tuple[str, ...], _Rule, str]]] = (
    (
        "1",
        ("shift",),
        _shift,
        "Maps of a natural image and of its adversarial image differ as much as those of different images",
    ),
    ("2a", _TRANSFER, _best, "SPD detects attacks that it was not trained on better than SMD, ID and JSD"),
    ("2b", _TRANSFER, _weak_to_strong, "Trained on the weak FGSM, SPD detects other attacks; ID and JSD do not"),
    ("3", _TRANSFER, _jacobian, "JSD is no better than ID: the Jacobian adds nothing"),
    ("4", _TRANSFER, _sparse, "All detectors are worse on JSMA"),
    ("5", ("threshold",), _threshold, "ID and JSD fail below a perturbation size, SPD and SMD do not"),
    ("6a", _WHITE_BOX, _all_fall, "White-box attacks win more than half of the images on every detector"),
    ("6b", _WHITE_BOX, _spd_robust, "Retrained against them, SPD is robust and SMD is not"),
    ("7", ("speed",), _real_time, "The learnt saliency is cheap enough for real time"),
    ("8", _WHITE_BOX, _longer, "More than five iterations of the white-box attack do not help it"),
    ("9", _WHITE_BOX, _mix, "Alternating between classifier and detector beats Metzen's mix"),
    ("10", _TRANSFER, _underflow, "The Jacobian of the softmax underflows, that of the logits does not"),
    ("11", ("transfer", "strength"), _follows_size, "Detection follows the perturbation's L2 and L-inf"),
    ("12", _TRANSFER, _families, "Detectors transfer within a family of norms"),
    ("A", _TRANSFER, _learnt, "The learnt detectors SPD and SMD beat the training-free disagreement"),
    (
        "B",
        _TRANSFER,
        _selector,
        "SPD and SMD depend on the predicted class as selector: with the true label they detect less",
    ),
)
