"""The paper's claims, each judged by a rule from the records of the protocols; nothing here is written by hand."""

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from scipy import stats

from experiments.detection.threshold.crossings import claim
from experiments.results.verdicts import Claim, Verdict
from experiments.study.metrics import DETECTED, SEEDS
from experiments.white_box.contrasts import LONGER, MIX

Found = Mapping[str, Mapping[str, Any]]
"""The contents of each protocol's JSON, by its name."""

JUDGED: Final = ("transfer", "strength", "shift", "threshold", "speed", "white-box")
"""The protocols that claims are judged from."""

EQUIVALENT: Final = 0.02
"""AUROC by which one detector must be ahead to count as better, where a claim says that it is no better."""

LONG: Final = 50
"""Iterations of a white-box attack that are many more than the paper's five."""

HALF: Final = 0.5
"""Share of the images, right before, that white-box attacks must win for a detector to count as fallen."""

FEWEST: Final = 20
"""Images, clean or attacked, below which no claim is decided; so it is with the values of each sample of `shift`."""

REAL_TIME_MS: Final = 1000 / 30
"""Latency of a camera's frame."""

SIGNIFICANT: Final = 0.05


def judge(found: Found) -> list[Claim]:
    """Return all claims with their verdicts.

    Args:
        found: What the protocols that were run found; a claim whose protocol is missing is not decided.
    """
    return [Claim(number, text, *_judged(found, rule, protocols)) for number, text, rule, protocols in _CLAIMS]


Judged = tuple[Verdict, str]


def _judged(found: Found, rule: "_Rule", protocols: Sequence[str]) -> Judged:
    """Return what a rule says where the protocols that it needs were run, and decides where their images are enough."""
    for name in protocols:
        if name not in found:
            return "not decided", f"`evaluate.py {name}` was not run"
    verdict, told = rule(found)
    few = [f"{count} images of {name}" for name, count in _images(found, protocols) if count < FEWEST]
    if not few or verdict == "not decided":
        return verdict, told
    return "not decided", f"{', '.join(few)}, a claim needs {FEWEST}; on these it {verdict}: {told}"


def _images(found: Found, protocols: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Give the number of images that each protocol rests on; times rest on none."""
    for name in protocols:
        meta = found[name]["meta"]
        count = meta.get("attacked_images", meta.get("test_images"))
        if name != "speed" and count is not None:
            yield name, count


def _shift(found: Found) -> Judged:
    rows = [
        row
        for row in found["shift"]["rows"]
        if (row["map"], row["sample"], row["subset"]) == ("learnt", "natural - adversarial", "all") and row["verdict"]
    ]
    told = ", ".join(f"{r['attack']} P(X > Y) {r['probability']:.2f} [{r['low']:.2f}, {r['high']:.2f}]" for r in rows)
    verdicts = {row["verdict"] for row in rows}
    if not rows:
        return "not decided", "the run has no learnt saliency model, or no attack"
    if "smaller" in verdicts:
        return "does not hold", told
    return ("holds" if verdicts <= {"as large", "larger"} else "not decided"), told


def _best(found: Found) -> Judged:
    return _all_above(found, [f"spd - {other}, unseen attacks" for other in ("smd", "id", "jsd")], noise=("spd",))


def _weak_to_strong(found: Found) -> Judged:
    names = [f"{name}, from FGSM to other attacks, above {DETECTED}" for name in ("spd", "id", "jsd")]
    records, lacking = _contrasts(found, [*names, *_noise_names(("spd",))])
    if lacking:
        return lacking
    spd, *others, noise = records
    if min(spd["high"], noise["high"]) < 0 or any(each["low"] > 0 for each in others):
        verdict: Verdict = "does not hold"
    else:
        sure = min(spd["low"], noise["low"]) > 0 and all(each["high"] < 0 for each in others)
        verdict = "holds" if sure else "not decided"
    return _with_seeds(verdict, _told(records), _seeds_of(found))


def _jacobian_adds_nothing(found: Found) -> Judged:
    records, lacking = _contrasts(found, ["jsd - id, all attacks"])
    if lacking:
        return lacking
    (record,) = records
    verdict: Verdict = "not decided"
    if record["high"] < EQUIVALENT:
        verdict = "holds"
    elif record["low"] > EQUIVALENT:
        verdict = "does not hold"
    return _with_seeds(verdict, f"{_told(records)}; better means by more than {EQUIVALENT}", _seeds_of(found))


def _sparse(found: Found) -> Judged:
    return _all_above(found, [f"{name}, JSMA - other attacks" for name in ("id", "jsd", "smd", "spd")], sign=-1)


def _threshold(found: Found) -> Judged:
    meta = found["threshold"]["meta"]
    crossings = [each for each in meta["crossings"] if (each["measure"], each["subset"]) == ("auroc", "successful")]
    told = "; ".join(f"{each['detector']} on {each['attack']}: {each['told']}" for each in crossings)
    if not crossings:
        return "not decided", "no detector was trained on an attack with an epsilon"
    verdicts = {_one_threshold(crossings, attack, meta["smallest"]) for attack in {c["attack"] for c in crossings}}
    verdict: Verdict = verdicts.pop() if len(verdicts) == 1 else "not decided"
    told = f"epsilon below which the mean AUROC on successful pairs falls under {meta['level']}: {told}"
    return _with_seeds(verdict, told, _seeds_of(found, "threshold"))


def _one_threshold(crossings: Sequence[Mapping[str, Any]], attack: str, smallest: float) -> Verdict:
    """Judge one attack's curves, by the rule of the protocol itself."""
    by_detector = {each["detector"]: each for each in crossings if each["attack"] == attack}
    said = claim(by_detector, smallest)
    return "holds" if said == "holds" else "does not hold" if said.startswith("does not hold") else "not decided"


def _real_time(found: Found) -> Judged:
    row = next((row for row in found["speed"]["rows"] if row["detector"] == "spd"), None)
    if row is None:
        return "not decided", "the run has no detector named spd"
    told = (
        f"classifier and SPD: 95 % of single images within {row['latency_p95_ms']:.1f} ms, "
        f"{row['time_ratio']:.1f} times the classifier alone in batches; a camera's frame takes {REAL_TIME_MS:.1f} ms"
    )
    return ("holds" if row["latency_p95_ms"] < REAL_TIME_MS else "does not hold"), told


def _underflow(found: Found) -> Judged:
    measured = found["transfer"]["meta"]["underflow"]
    told = (
        f"the gradient of the largest softmax probability is exactly zero on {measured['share']:.3f} "
        f"[{measured['low']:.3f}, {measured['high']:.3f}] of {measured['n']} clean images, that of the logit on "
        f"{measured['share_logit']:.3f}"
    )
    if measured["low"] > measured["share_logit"]:
        return "holds", told
    return ("does not hold" if measured["share"] == 0 else "not decided"), told


def _follows_size(found: Found) -> Judged:
    every = [row for row in found["transfer"]["rows"] if row["subset"] == "all"]
    attacks = {row["tested_on"] for row in every}
    learnt = [row for row in every if row["trained_on"] in attacks]  # not those trained on all attacks but one
    learnt = [row for row in learnt if row["auroc"] is not None]
    results = []
    for norm in ("l2", "linf"):
        sizes = {
            row["attack"]: row["mean"]
            for row in found["strength"]["rows"]
            if (row["norm"], row["subset"]) == (norm, "all") and row["mean"] is not None
        }
        known = [attack for attack in sizes if any(row["tested_on"] == attack for row in learnt)]
        detection = [statistics.fmean(row["auroc"] for row in learnt if row["tested_on"] == a) for a in known]
        if len(known) < 4:  # noqa: PLR2004 - with three, no order has a p below .05
            return "not decided", f"{len(known)} attacks: too few for a rank correlation"
        results.append((norm, *_spearman([sizes[attack] for attack in known], detection), len(known)))
    told = ", ".join(f"{norm}: Spearman {rho:.2f}, p {p:.3f}, {n} attacks" for norm, rho, p, n in results)
    if all(rho > 0 and p < SIGNIFICANT for _, rho, p, _ in results):
        return _with_seeds("holds", told, _seeds_of(found))
    if any(rho < 0 and p < SIGNIFICANT for _, rho, p, _ in results):
        return _with_seeds("does not hold", told, _seeds_of(found))
    return "not decided", told


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


def _families(found: Found) -> Judged:
    return _all_above(found, ["same family of norms - another, attacks not trained on"])


def _beats_disagreement(found: Found) -> Judged:
    names = ("spd", "smd")
    return _all_above(found, [f"{name} - disagreement, unseen attacks" for name in names], noise=names)


def _selector(found: Found) -> Judged:
    return _all_above(found, [f"{name} - {name} (true label), all attacks" for name in ("spd", "smd")])


def _all_fall(found: Found) -> Judged:
    return _under_attack(found, "before", dict.fromkeys(_FOUR, True))


def _spd_robust(found: Found) -> Judged:
    return _under_attack(found, "after", {"spd": False, "smd": True})


_FOUR: Final = ("id", "jsd", "smd", "spd")


def _under_attack(found: Found, phase: str, falls: Mapping[str, bool]) -> Judged:
    """Judge whether detectors fall: the worst case of SR@5 over, or under, a half on every seed.

    Args:
        found: What was found.
        phase: before or after retraining.
        falls: By detector, whether the claim is that it falls.
    """
    rows = [r for r in found["white-box"]["rows"] if (r["phase"], r["attack"]) == (phase, "worst case")]
    known = {name: [r for r in rows if r["detector"] == name and r["sr_at_5"] is not None] for name in falls}
    absent = [name for name, mine in known.items() if not mine]
    if absent:
        return "not decided", f"no worst case {phase} retraining of {', '.join(absent)}"
    ends = {
        name: (min(r["sr_at_5_low"] for r in mine), max(r["sr_at_5_high"] for r in mine))
        for name, mine in known.items()
    }
    told = ", ".join(
        f"{name} {statistics.fmean(r['sr_at_5'] for r in known[name]):.3f} [{low:.3f}, {high:.3f}]"
        for name, (low, high) in ends.items()
    )
    told = f"worst case of SR@5, {phase} retraining: {told}; a detector falls above {HALF}, it is robust below"
    verdict: Verdict = "not decided"
    if any(high < HALF if falls[name] else low > HALF for name, (low, high) in ends.items()):
        verdict = "does not hold"
    elif all(low > HALF if falls[name] else high < HALF for name, (low, high) in ends.items()):
        verdict = "holds"
    seeds = min((sorted({row["seed"] for row in mine}) for mine in known.values()), key=len)
    return _with_seeds(verdict, told, seeds)


def _longer(found: Found) -> Judged:
    records, lacking = _of_attacks(found, LONGER)
    if lacking:
        return lacking
    meta = found["white-box"]["meta"]
    if meta["steps"] < LONG:
        return "not decided", f"{meta['steps']} steps; ten times the paper's five are needed"
    verdict: Verdict = "not decided"
    if any(each["low"] > EQUIVALENT for each in records):
        verdict = "does not hold"
    elif all(each["high"] < EQUIVALENT for each in records):
        verdict = "holds"
    told = f"images won at probability .5, T = {meta['steps']} minus T = 5: {_told(records)}"
    return _with_seeds(verdict, f"{told}; to help means by more than {EQUIVALENT}", meta["attacked_seeds"])


def _mix(found: Found) -> Judged:
    records, lacking = _of_attacks(found, MIX)
    if lacking:
        return lacking
    told = f"images won at probability .5: {_told(records)}"
    return _with_seeds(_sides(records), told, found["white-box"]["meta"]["attacked_seeds"])


def _of_attacks(found: Found, ending: str) -> tuple[list[Mapping[str, Any]], Judged | None]:
    """Return the contrasts between two white-box attacks, one for each detector, or why there are none."""
    records = [each for each in found["white-box"]["meta"]["contrasts"] if each["name"].endswith(f", {ending}")]
    absent = sorted(set(_FOUR) - {each["detector"] for each in records})
    return records, ("not decided", f"not attacked: {', '.join(absent)}") if absent else None


_Rule = Callable[[Found], Judged]

_CLAIMS: Final[Sequence[tuple[str, str, _Rule, tuple[str, ...]]]] = (
    (
        "1",
        "Maps of a natural image and of its adversarial twin differ as much as those of different images",
        _shift,
        ("shift",),
    ),
    ("2a", "SPD detects attacks that it was not trained on better than SMD, ID and JSD", _best, ("transfer",)),
    ("2b", "Trained on the weak FGSM, SPD detects other attacks; ID and JSD do not", _weak_to_strong, ("transfer",)),
    ("3", "JSD is no better than ID: the Jacobian adds nothing", _jacobian_adds_nothing, ("transfer",)),
    ("4", "All detectors are worse on JSMA", _sparse, ("transfer",)),
    ("5", "ID and JSD fail below a perturbation size, SPD and SMD do not", _threshold, ("threshold",)),
    ("6a", "White-box attacks win more than half of the images on every detector", _all_fall, ("white-box",)),
    ("6b", "Retrained against them, SPD is robust and SMD is not", _spd_robust, ("white-box",)),
    ("7", "The learnt saliency is cheap enough for real time", _real_time, ("speed",)),
    ("8", "More than five iterations of the white-box attack do not help it", _longer, ("white-box",)),
    ("9", "Alternating between classifier and detector beats Metzen's mix", _mix, ("white-box",)),
    ("10", "The Jacobian of the softmax underflows, that of the logits does not", _underflow, ("transfer",)),
    ("11", "Detection follows the perturbation's L2 and L-inf", _follows_size, ("transfer", "strength")),
    ("12", "Detectors transfer within a family of norms", _families, ("transfer",)),
    ("A", "The learnt detectors SPD and SMD beat the training-free disagreement", _beats_disagreement, ("transfer",)),
    (
        "B",
        "SPD and SMD live from the predicted class as selector: with the true label they detect less",
        _selector,
        ("transfer",),
    ),
)


def _noise_names(detectors: Iterable[str]) -> list[str]:
    return [f"{name} against noise, unseen attacks, above {DETECTED}" for name in detectors]


def _all_above(found: Found, names: Iterable[str], sign: int = 1, noise: Sequence[str] = ()) -> Judged:
    """Judge contrasts: all above 0 (below, with sign -1) holds, any decidedly on the other side does not.

    What is claimed of the detectors in `noise` must also hold against noise of the same norms (PROTOCOL A5).
    """
    records, lacking = _contrasts(found, [*names, *_noise_names(noise)])
    if lacking:
        return lacking
    return _with_seeds(_sides(records, sign), _told(records), _seeds_of(found))


def _sides(records: Sequence[Mapping[str, Any]], sign: int = 1) -> Verdict:
    """Return "holds" if all intervals lie above 0 (below, with sign -1), "does not hold" if any lies on the other."""
    ends = [sorted((sign * each["low"], sign * each["high"])) for each in records]
    if any(high < 0 for _, high in ends):
        return "does not hold"
    return "holds" if all(low > 0 for low, _ in ends) else "not decided"


def _contrasts(found: Found, names: Iterable[str]) -> tuple[list[Mapping[str, Any]], Judged | None]:
    """Return the contrasts of the transfer protocol by their names, or why the claim cannot be judged."""
    known = {each["name"]: each for each in found["transfer"]["meta"]["contrasts"]}
    absent = [name for name in names if name not in known]
    if absent:
        return [], ("not decided", f"the run does not allow to compute: {', '.join(absent)}")
    return [known[name] for name in names], None


def _told(records: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(f"{r['name']}: {r['value']:+.3f} [{r['low']:+.3f}, {r['high']:+.3f}]" for r in records)


def _seeds_of(found: Found, protocol: str = "transfer") -> Sequence[int]:
    seeds: Sequence[int] = found[protocol]["meta"]["seeds"]
    return seeds


def _with_seeds(verdict: Verdict, told: str, seeds: Sequence[int]) -> Judged:
    """Leave a claim about detectors undecided where they were trained on too few seeds."""
    if len(seeds) >= SEEDS or verdict == "not decided":
        return verdict, told
    return "not decided", f"{len(seeds)} seed(s), a claim needs {SEEDS}; on these it {verdict}: {told}"
