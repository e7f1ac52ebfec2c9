"""The paper's findings, each judged by a rule from paired bootstrap intervals; nothing here is written by hand."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import torch

from experiments.explanation.similarity.paper import GRAD_CAM
from experiments.explanation.similarity.records import METRICS, SimilarityRecords
from experiments.results.bootstrap import Interval, Statistic, mean_of
from experiments.results.two_samples import CHANCE
from experiments.results.verdicts import Claim, Verdict, all_above, if_enough

LITTLE: Final = 0.05
"""Standard deviation between the targets' means up to which there is little variance."""

RULES: Final = (
    "Rules, fixed beforehand, on 95 % intervals of a bootstrap over images that is paired between methods: a claim "
    "that something is lower holds if every interval of the differences lies above 0, and does not hold if any lies "
    f"below 0; little variance: every interval of the standard deviation between targets lies below {LITTLE}, any "
    f"above it refutes; detection: every interval of the AUROC lies above {CHANCE}, any below refutes. Else it is not "
    "decided. What the paper says of Grad-CAM is first judged among its three methods."
)

Named = Mapping[str, Interval | None]
Judged = tuple[Verdict, str]


def judge(records: SimilarityRecords) -> list[Claim]:
    """Return the paper's findings with their verdicts."""
    claims = [Claim(str(place), text, *rule(records)) for place, (text, rule) in enumerate(_CLAIMS, 1)]
    return [if_enough(claim, records.count) for claim in claims]


def finding(records: SimilarityRecords, claims: Sequence[Claim]) -> str:
    """Return the answer in words: the least similar method, the oracle, and the paper's findings."""
    epsilon, least = records.settings.reference, []
    attack = records.settings.untargeted[records.settings.epsilons.index(epsilon)]
    for metric, title in METRICS.items():
        names = [name for name in records.methods if name not in records.random]
        means = {name: mean for name in names if (mean := records.mean(name, metric, attack)) is not None}
        if means:
            name = min(means, key=lambda name: means[name].value)
            least.append(f"{title} {name} {means[name]}")
    alike = f"Least alike under FGSM of epsilon {epsilon:g}: {', '.join(least)}" if least else "No map can be compared"
    judged = ", ".join(f'"{claim.text}" {claim.verdict}' for claim in claims)
    return f"{alike}. {_of_the_oracle(records, epsilon)}The paper's findings: {judged}."


def _of_the_oracle(records: SimilarityRecords, epsilon: float) -> str:
    areas = {
        f"{name}'s {title}": area
        for name in records.methods
        for metric, title in METRICS.items()
        if (area := records.auroc(name, metric, epsilon)) is not None
    }
    if not areas:
        return ""
    best = max(areas, key=lambda name: areas[name].value)
    above = sum(area.low > CHANCE for area in areas.values())
    return (
        f"An oracle that is told the clean map tells the attack from sign noise of this size better than chance by "
        f"{above} of {len(areas)} similarities, best by {best} (AUROC {areas[best]}). "
    )


def _least(records: SimilarityRecords) -> Judged:
    return _against(records, list(records.paper.values()))


def _least_of_all(records: SimilarityRecords) -> Judged:
    return _against(records, [name for name in records.methods if name not in records.random])


def _against(records: SimilarityRecords, methods: Sequence[str]) -> Judged:
    """Judge whether Grad-CAM's maps are less alike than those of other methods, untargeted and targeted."""
    cam = records.paper.get(GRAD_CAM)
    others = [name for name in methods if name != cam]
    if cam is None or not others:
        return _missing("Grad-CAM and a method beside it")
    differences: dict[str, Interval | None] = {}
    for attack, changes in (("untargeted", records.settings.untargeted), ("targeted", records.settings.targeted)):
        for other in others:
            if all((name, changes[0]) in records.alike for name in (other, cam)):
                for metric, title in METRICS.items():
                    ours, theirs = (records.over(name, metric, changes) for name in (cam, other))
                    differences[f"{other}, {title}, {attack}"] = records.interval(theirs - ours)
    verdict = all_above(list(differences.values()))
    return verdict, f"another method minus {cam}, {_hardest(differences, verdict)}"


def _falls(records: SimilarityRecords) -> Judged:
    first, last = records.settings.untargeted[0], records.settings.untargeted[-1]
    if first == last or not records.paper:
        return _missing("two epsilons and one of the paper's methods")
    falls = {
        name: records.interval(records.of(method, metric, first) - records.of(method, metric, last))
        for name, method, metric in _measures(list(records.paper.values()))
    }
    verdict = all_above(list(falls.values()))
    return verdict, f"epsilon {first.epsilon:g} minus epsilon {last.epsilon:g}, {_hardest(falls, verdict)}"


def _little(records: SimilarityRecords) -> Judged:
    methods = [name for name in records.paper.values() if name in records.targeted_methods]
    if not methods or len(records.settings.targets) < 2:  # noqa: PLR2004 - one has no variance
        return _missing("two targets and one of the paper's methods")
    spreads = {name: _spread(records, method, metric) for name, method, metric in _measures(methods)}
    verdict = all_above([None if spread is None else -spread for spread in spreads.values()], -LITTLE)
    return verdict, f"standard deviation between targets, {_hardest(spreads, verdict, largest=True)}"


def _spread(records: SimilarityRecords, method: str, metric: str) -> Interval | None:
    """Return the standard deviation between the targets' means; None if one has no mean."""
    values = [records.of(method, metric, attack) for attack in records.settings.targeted]
    means = [mean for each in values if (mean := mean_of(each, records.resampling)) is not None]
    if len(means) < len(values):
        return None
    value = torch.tensor([mean.value for mean in means], dtype=torch.float64).std(correction=0).item()
    replicates = torch.stack([mean.replicates for mean in means]).std(0, correction=0)
    return Statistic(value, replicates, min(mean.n for mean in means)).interval


def _detects(records: SimilarityRecords) -> Judged:
    cam, epsilon = records.paper.get(GRAD_CAM), records.settings.reference
    if cam is None:
        return _missing("Grad-CAM")
    areas = {title: records.auroc(cam, metric, epsilon) for metric, title in METRICS.items()}
    numbers = ", ".join(f"{title} {area}" for title, area in areas.items() if area is not None)
    sentence = f"oracle AUROC of {cam} at epsilon {epsilon:g} against sign noise: {numbers}"
    return all_above(list(areas.values()), CHANCE), sentence


def _detects_best(records: SimilarityRecords) -> Judged:
    cam, epsilon = records.paper.get(GRAD_CAM), records.settings.reference
    others = [name for name in records.paper.values() if name != cam]
    if cam is None or not others:
        return _missing("Grad-CAM and another of the paper's methods")
    pairs = {name: records.oracle(metric, epsilon, [cam, other]) for name, other, metric in _measures(others)}
    ahead = {name: pair[0].minus(pair[1]).interval if pair else None for name, pair in pairs.items()}
    verdict = all_above(list(ahead.values()))
    return verdict, f"AUROC of {cam} minus another's at epsilon {epsilon:g}, {_hardest(ahead, verdict)}"


def _measures(methods: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield name, method and measure of each comparison."""
    for method in methods:
        for metric, title in METRICS.items():
            yield f"{method}, {title}", method, metric


def _hardest(named: Named, verdict: Verdict, *, largest: bool = False) -> str:
    """Return how many were compared, and the one that is hardest on the claim."""
    known = {name: each for name, each in named.items() if each is not None}
    if not known:
        return "none is defined"
    name = (max if largest else min)(known, key=lambda name: known[name].value)
    lacking = f", {len(named) - len(known)} not defined" if len(known) < len(named) else ""
    against = "decides against it" if verdict == "does not hold" else "is nearest to refuting it"
    return f"{len(known)} comparisons{lacking}; {against}: {name} {known[name]}"


def _missing(what: str) -> Judged:
    return "not decided", f"it needs {what}"


_CLAIMS: Final[Sequence[tuple[str, Callable[[SimilarityRecords], Judged]]]] = (
    ("Grad-CAM's maps are the least similar of the paper's three methods on every measure", _least),
    ("They are so among all methods but the random one", _least_of_all),
    ("Similarity falls as epsilon grows", _falls),
    ("Similarity varies little over the target classes", _little),
    ("Grad-CAM's similarity detects attacks: it is lower under FGSM than under sign noise of the same size", _detects),
    ("It detects them better than the paper's other two methods", _detects_best),
)
