"""The paper's findings, each judged by a rule from paired bootstrap intervals."""

from collections.abc import Iterator, Sequence
from typing import Final

from experiments.explanation.evidence import Named, few_images, in_words, judged, shown
from experiments.explanation.similarity.changes import Change
from experiments.explanation.similarity.paper import GRAD_CAM
from experiments.explanation.similarity.records import LITTLE, METRICS, Compared, SimilarityRecords
from experiments.results.two_samples import CHANCE
from experiments.results.verdicts import FEWEST, Claim

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


def judge(records: SimilarityRecords) -> list[Claim]:
    """Return the paper's findings with their verdicts."""
    comparisons = records.comparisons
    evidence = (
        (comparisons.with_papers, 0.0, "Grad-CAM and a method beside it"),
        (comparisons.with_all, 0.0, "Grad-CAM and a method beside it"),
        (comparisons.falls, 0.0, "two epsilons and one of the paper's methods"),
        (comparisons.little, 0.0, "two targets and one of the paper's methods"),
        (_detects(records), CHANCE, "Grad-CAM"),
        (comparisons.detects_best, 0.0, "Grad-CAM and another of the paper's methods"),
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
        if (area := records.aurocs[name, metric, records.settings.reference]) is not None
    }
    if areas:
        best = max(areas, key=lambda name: areas[name].value)
        above = [area for area in areas.values() if area.low > CHANCE]
        yield (
            "A detector that knows the clean map tells this attack from sign noise of the same size better than chance "
            f"by {len(above)} of {len(areas)} similarities. The best of them is {best}, with an AUROC of "
            f"{shown(areas[best], records.count)}."
        )


def _detects(records: SimilarityRecords) -> Compared:
    cam, epsilon = records.paper.get(GRAD_CAM), records.settings.reference
    if cam is None:
        return Compared(None, {})
    areas = {title: records.aurocs[cam, metric, epsilon] for metric, title in METRICS.items()}
    return Compared(f"AUROC of {cam} at epsilon {epsilon:g} against sign noise, clean maps known", areas)


def _hardest(named: Named) -> str:
    """Return the number of statistics, and the smallest one, which decides the claim."""
    defined = {name: statistic for name, statistic in named.items() if statistic is not None}
    if not defined:
        return "none is defined"
    name = min(defined, key=lambda name: defined[name].value)
    lacking = f", {len(named) - len(defined)} not defined" if len(defined) < len(named) else ""
    return f"{len(defined)} comparisons{lacking}; the smallest is {name} {shown(defined[name])}, n = {defined[name].n}"
