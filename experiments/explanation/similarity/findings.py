"""The paper's findings, each judged by a rule from paired bootstrap intervals; nothing here is written by hand."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from experiments.explanation.similarity.measured import METRICS
from experiments.explanation.similarity.paper import GRAD_CAM
from experiments.explanation.similarity.records import Similarities
from experiments.results.bootstrap import Interval
from experiments.results.two_samples import CHANCE
from experiments.results.verdicts import Verdict
from saliency import Random

LITTLE: Final = 0.05
"""Standard deviation between the targets' means up to which there is little variance."""

FEWEST: Final = 20
"""Images below which nothing is decided."""

RULES: Final = (
    "Rules, fixed beforehand, on 95 % intervals of a bootstrap over images that is paired between methods: a claim "
    "that something is lower holds if every interval of the differences lies above 0, and does not hold if any lies "
    f"below 0; little variance: every interval of the standard deviation between targets lies below {LITTLE}, any "
    f"above it refutes; detection: every interval of the AUROC lies above {CHANCE}, any below refutes. Else it is not "
    "decided. What the paper says of Grad-CAM is first judged among its three methods."
)


@dataclass(frozen=True)
class Claim:
    """A finding of the paper with its verdict.

    Attributes:
        text: What is claimed.
        verdict: Computed.
        statistic: The numbers that decided, or what is missing.
    """

    text: str
    verdict: Verdict
    statistic: str


Named = Mapping[str, Interval | None]


def judge(found: Similarities) -> list[Claim]:
    """Return the paper's findings with their verdicts; none is decided by fewer than `FEWEST` images."""
    claims = [Claim(text, *rule(found)) for text, rule in _CLAIMS]
    images = len(found.measured.explained.images)
    if images >= FEWEST:
        return claims
    few = f"{images} images are too few to decide, it takes {FEWEST}; "
    return [Claim(claim.text, "not decided", few + claim.statistic) for claim in claims]


def sides(intervals: Iterable[Interval | None], limit: float = 0.0) -> Verdict:
    """Return whether all intervals lie above a limit (holds), any below it (does not hold), or neither."""
    known = list(intervals)
    if any(each is not None and each.high < limit for each in known):
        return "does not hold"
    return "holds" if known and all(each is not None and each.low > limit for each in known) else "not decided"


def _least(found: Similarities) -> tuple[Verdict, str]:
    return _against(found, _papers(found))


def _least_of_all(found: Similarities) -> tuple[Verdict, str]:
    methods = found.measured.explained.methods
    return _against(found, [name for name in found.methods if not isinstance(methods[name], Random)])


def _against(found: Similarities, methods: Sequence[str]) -> tuple[Verdict, str]:
    """Judge whether Grad-CAM's maps are less alike than those of other methods, untargeted and targeted."""
    cam = found.paper.get(GRAD_CAM)
    others = [name for name in methods if name != cam]
    if cam is None or not others:
        return _missing("Grad-CAM and a method beside it")
    differences: dict[str, Interval | None] = {}
    for attack, versions in (("untargeted", found.untargeted), ("targeted", found.targets)):
        for other in others:
            if attack == "targeted" and not (found.measured.targeted(other) and found.measured.targeted(cam)):
                continue
            for metric, title in METRICS.items():
                ours, theirs = (found.over(name, metric, versions) for name in (cam, other))
                differences[f"{other}, {title}, {attack}"] = found.estimates.difference(theirs, ours)
    verdict = sides(differences.values())
    return verdict, f"another method minus {cam}, {_told(differences, verdict)}"


def _falls(found: Similarities) -> tuple[Verdict, str]:
    first, last = found.untargeted[0], found.untargeted[-1]
    if first == last or not found.paper:
        return _missing("two epsilons and one of the paper's methods")
    falls = {
        f"{name}, {title}": found.estimates.difference(found.of(name, metric, first), found.of(name, metric, last))
        for name in _papers(found)
        for metric, title in METRICS.items()
    }
    verdict = sides(falls.values())
    return verdict, f"epsilon {first.epsilon:g} minus epsilon {last.epsilon:g}, {_told(falls, verdict)}"


def _little(found: Similarities) -> tuple[Verdict, str]:
    known = [name for name in _papers(found) if found.measured.targeted(name)]
    if not known or len(found.targets) < 2:  # noqa: PLR2004 - one has no variance
        return _missing("two targets and one of the paper's methods")
    spreads = {
        f"{name}, {title}": found.estimates.deviation([found.of(name, metric, each) for each in found.targets])
        for name in known
        for metric, title in METRICS.items()
    }
    below = [None if each is None else Interval(-each.value, -each.high, -each.low) for each in spreads.values()]
    verdict = sides(below, -LITTLE)
    return verdict, f"standard deviation between targets, {_told(spreads, verdict, largest=True)}"


def _detects(found: Similarities) -> tuple[Verdict, str]:
    cam, epsilon = found.paper.get(GRAD_CAM), found.measured.plan.reference
    if cam is None:
        return _missing("Grad-CAM")
    areas = {title: found.auroc(cam, metric, epsilon) for metric, title in METRICS.items()}
    told = ", ".join(f"{title} {area}" for title, area in areas.items() if area is not None)
    return sides(areas.values(), CHANCE), f"oracle AUROC of {cam} at epsilon {epsilon:g} against sign noise: {told}"


def _detects_best(found: Similarities) -> tuple[Verdict, str]:
    cam, epsilon = found.paper.get(GRAD_CAM), found.measured.plan.reference
    others = [name for name in _papers(found) if name != cam]
    if cam is None or not others:
        return _missing("Grad-CAM and another of the paper's methods")
    ahead = {
        f"{other}, {title}": found.estimates.auroc_difference(
            found.pair(cam, metric, epsilon), found.pair(other, metric, epsilon)
        )
        for other in others
        for metric, title in METRICS.items()
    }
    verdict = sides(ahead.values())
    return verdict, f"AUROC of {cam} minus another's at epsilon {epsilon:g}, {_told(ahead, verdict)}"


def _papers(found: Similarities) -> list[str]:
    return list(found.paper.values())


def _told(named: Named, verdict: Verdict, *, largest: bool = False) -> str:
    """Return how many were compared, and the one that is hardest on the claim."""
    known = {name: each for name, each in named.items() if each is not None}
    if not known:
        return "none is defined"
    name = (max if largest else min)(known, key=lambda name: known[name].value)
    lacking = f", {len(named) - len(known)} not defined" if len(known) < len(named) else ""
    against = "decides against it" if verdict == "does not hold" else "is nearest to refuting it"
    return f"{len(known)} comparisons{lacking}; {against}: {name} {known[name]}"


def _missing(what: str) -> tuple[Verdict, str]:
    return "not decided", f"it needs {what}"


_CLAIMS: Final[Sequence[tuple[str, Callable[[Similarities], tuple[Verdict, str]]]]] = (
    ("Grad-CAM's maps are the least similar of the paper's three methods on every measure", _least),
    ("They are so among all methods but the random one", _least_of_all),
    ("Similarity falls as epsilon grows", _falls),
    ("Similarity varies little over the target classes", _little),
    ("Grad-CAM's similarity detects attacks: it is lower under FGSM than under sign noise of the same size", _detects),
    ("It detects them better than the paper's other two methods", _detects_best),
)
