"""The paper's findings, each judged by a rule from paired bootstrap intervals."""

from collections.abc import Iterator, Sequence
from typing import Final

import torch

from experiments.explanation.evidence import Named, few_images, in_words, judged, shown
from experiments.explanation.similarity.changes import Change
from experiments.explanation.similarity.paper import GRAD_CAM
from experiments.explanation.similarity.records import METRICS, SimilarityRecords
from experiments.results.bootstrap import Statistic, mean_of
from experiments.results.two_samples import CHANCE
from experiments.results.verdicts import FEWEST, Claim

LITTLE: Final = 0.05
"""The largest standard deviation between the targets' means that counts as little variance."""

RULES: Final = (
    "Rules, fixed beforehand, on 95 % intervals of a bootstrap over images, paired between methods. A claim that "
    "something is lower holds if every interval of the differences lies above 0, and does not hold if any lies below "
    f"0. Little variance: every interval of the standard deviation between targets lies below {LITTLE}; any above it "
    f"refutes. Detection: every interval of the AUROC lies above {CHANCE}; any below refutes. Else nothing is decided, "
    f"nor by fewer than {FEWEST} images or by values that are all equal. Grad-CAM is judged among the paper's three "
    "methods first."
)

_TEXTS: Final = (
    "Grad-CAM's maps are the least similar of the paper's three methods on every measure",
    "Grad-CAM's maps are the least similar among all methods but the random one",
    "Similarity falls as epsilon grows",
    "Similarity varies little over the target classes",
    "Grad-CAM's similarity detects attacks: it is lower under FGSM than under sign noise of the same size",
    "Grad-CAM's similarity detects attacks better than that of the paper's other two methods",
)

Found = tuple[str | None, Named]
"""A claim's statistics: their description (None: the run has none), and the statistics by name."""


def judge(records: SimilarityRecords) -> list[Claim]:
    """Return the paper's findings with their verdicts."""
    own, every = list(records.paper.values()), [name for name in records.methods if name not in records.random]
    evidence = (
        (_against(records, own), 0.0, "Grad-CAM and a method beside it"),
        (_against(records, every), 0.0, "Grad-CAM and a method beside it"),
        (_falls(records), 0.0, "two epsilons and one of the paper's methods"),
        (_little(records), 0.0, "two targets and one of the paper's methods"),
        (_detects(records), CHANCE, "Grad-CAM"),
        (_detects_best(records), 0.0, "Grad-CAM and another of the paper's methods"),
    )
    claims = []
    for number, (text, ((about, named), level, needed)) in enumerate(zip(_TEXTS, evidence, strict=True), 1):
        numbers = f"{about}, {_hardest(named)}" if about else f"it needs {needed}"
        claims.append(judged(str(number), text, named, numbers, level))
    return claims


def finding(records: SimilarityRecords, claims: Sequence[Claim]) -> str:
    """Return sentences about the least similar method, the oracle, and the paper's findings."""
    return few_images(records.count) + " ".join([*_least_alike(records), *_of_the_oracle(records), in_words(claims)])


def _least_alike(records: SimilarityRecords) -> Iterator[str]:
    attack = Change("untargeted", records.settings.reference)
    yield f"FGSM of epsilon {attack.epsilon:g} attacks {records.count} images."
    yield f"It fools {records.success(attack)} of them."
    for metric, title in METRICS.items():
        names = [name for name in records.methods if name not in records.random]
        means = {name: mean for name in names if (mean := records.mean(name, metric, attack)) is not None}
        if means:
            name = min(means, key=lambda name: means[name].value)
            yield f"Under it the maps of {name} are the least alike by {title}, {shown(means[name], records.count)}."


def _of_the_oracle(records: SimilarityRecords) -> Iterator[str]:
    areas = {
        f"{name}'s {title}": area
        for name in records.methods
        for metric, title in METRICS.items()
        if (area := records.auroc(name, metric, records.settings.reference)) is not None
    }
    if areas:
        best, above = (
            max(areas, key=lambda name: areas[name].value),
            [a for a in areas.values() if a.interval.low > CHANCE],
        )
        yield (
            "A detector that knows the clean map tells this attack from sign noise of the same size better than chance "
            f"by {len(above)} of {len(areas)} similarities. The best of them is {best}, with an AUROC of "
            f"{shown(areas[best], records.count)}."
        )


def _against(records: SimilarityRecords, methods: Sequence[str]) -> Found:
    """Compare Grad-CAM's similarities with those of other methods, untargeted and targeted."""
    cam = records.paper.get(GRAD_CAM)
    differences: dict[str, Statistic | None] = {}
    for attack, changes in (("untargeted", records.settings.untargeted), ("targeted", records.settings.targeted)):
        for other in methods:
            if cam and other != cam and all((name, changes[0]) in records.alike for name in (other, cam)):
                for metric, title in METRICS.items():
                    ours, theirs = (records.over(name, metric, changes) for name in (cam, other))
                    differences[f"{other}, {title}, {attack}"] = records.statistic(theirs - ours)
    return (f"another method minus {cam}" if differences else None), differences


def _falls(records: SimilarityRecords) -> Found:
    first, last = records.settings.untargeted[0], records.settings.untargeted[-1]
    if first == last or not records.paper:
        return None, {}
    return f"epsilon {first.epsilon:g} minus epsilon {last.epsilon:g}", {
        name: records.statistic(records.of(method, metric, first) - records.of(method, metric, last))
        for name, method, metric in _measures(list(records.paper.values()))
    }


def _little(records: SimilarityRecords) -> Found:
    methods = [name for name in records.paper.values() if name in records.targeted_methods]
    if not methods or len(records.settings.targets) < 2:  # noqa: PLR2004 - one has no variance
        return None, {}
    return f"{LITTLE} minus the standard deviation between targets", {
        name: _below_little(records, method, metric) for name, method, metric in _measures(methods)
    }


def _below_little(records: SimilarityRecords, method: str, metric: str) -> Statistic | None:
    """Return `LITTLE` minus the standard deviation between the targets' means; None if one has no mean."""
    values = [records.of(method, metric, attack) for attack in records.settings.targeted]
    means = [mean for of_target in values if (mean := mean_of(of_target, records.resampling)) is not None]
    if len(means) < len(values):
        return None
    spread = torch.tensor([mean.value for mean in means], dtype=torch.float64).std(correction=0).item()
    replicates = torch.stack([mean.replicates for mean in means]).std(0, correction=0)
    return Statistic(LITTLE - spread, LITTLE - replicates, min(mean.n for mean in means))


def _detects(records: SimilarityRecords) -> Found:
    cam, epsilon = records.paper.get(GRAD_CAM), records.settings.reference
    if cam is None:
        return None, {}
    areas = {title: records.auroc(cam, metric, epsilon) for metric, title in METRICS.items()}
    return f"AUROC of {cam} at epsilon {epsilon:g} against sign noise, clean maps known", areas


def _detects_best(records: SimilarityRecords) -> Found:
    cam, epsilon = records.paper.get(GRAD_CAM), records.settings.reference
    others = [name for name in records.paper.values() if name != cam]
    if cam is None or not others:
        return None, {}
    pairs = {name: records.oracle(metric, epsilon, [cam, other]) for name, other, metric in _measures(others)}
    ahead = {name: pair[0].minus(pair[1]) if pair else None for name, pair in pairs.items()}
    return f"AUROC of {cam} minus another's at epsilon {epsilon:g}", ahead


def _measures(methods: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield name, method and measure of each comparison."""
    for method in methods:
        for metric, title in METRICS.items():
            yield f"{method}, {title}", method, metric


def _hardest(named: Named) -> str:
    """Return the number of statistics, and the smallest one, which decides the claim."""
    known = {name: statistic for name, statistic in named.items() if statistic is not None}
    if not known:
        return "none is defined"
    name = min(known, key=lambda name: known[name].value)
    lacking = f", {len(named) - len(known)} not defined" if len(known) < len(named) else ""
    return f"{len(known)} comparisons{lacking}; the smallest is {name} {shown(known[name])}, n = {known[name].n}"
