"""`evaluate.py similarity`: do saliency maps stay alike under attack (Liu, Liu, Hosseini)?"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Final

from experiments.explanation.similarity.figures import figures, panels
from experiments.explanation.similarity.findings import Claim, judge
from experiments.explanation.similarity.flags import flags
from experiments.explanation.similarity.measured import METRICS, measure
from experiments.explanation.similarity.records import Similarities, records
from experiments.explanation.similarity.tables import tables
from experiments.explanation.similarity.versions import plan_of
from experiments.explanation.subject import Explained, explained
from experiments.results.bootstrap import Estimates
from experiments.results.result import Result
from experiments.results.two_samples import CHANCE
from experiments.study.study import Study
from saliency import LIME, Random

QUESTION: Final = (
    "How alike are the saliency maps of an image before and after an attack, by Spearman's correlation, structural "
    "similarity and histograms of gradients; and do they move further than under noise of the same size?"
)

SAMPLES: Final = 100
"""Of LIME, for each of some thousand maps, unless methods are given."""


def similarity(study: Study) -> Result:
    """Return how alike maps of clean and attacked images are, for every method.

    Args:
        study: Its options: those of `explained`; epsilons, targeted_epsilon, targets, reduction, see
            `experiments.explanation.similarity.versions.plan_of`; resamples.

    Raises:
        FileNotFoundError: If a stage is missing.
        ValueError: If an option is out of its range, or the images are too small.
    """
    names = ("images", "methods", "classifier", "photographs", "size")
    subject = with_fast_lime(explained(study, **{name: study.options[name] for name in names if name in study.options}))
    plan = plan_of(subject)
    found = Similarities(measure(subject, plan), Estimates(len(subject.images), plan.resamples))
    claims = judge(found)
    return Result(
        protocol=subject.protocol("similarity"),
        title="Similarity of saliency maps under attack",
        question=QUESTION,
        finding=finding(found, claims),
        meta=subject.meta() | plan.meta() | {"claims": [asdict(claim) for claim in claims]},
        rows=list(records(found)),
        tables=tables(found, claims),
        figures=figures(found) | panels(found.measured),
        flags=[*flags(found), found.measured.explained.flag()],
    )


def with_fast_lime(subject: Explained) -> Explained:
    """Return the subject with fewer samples for LIME, unless methods were given."""
    if subject.study.options.get("methods") is not None:
        return subject
    fast = {name: LIME(samples=SAMPLES) if isinstance(each, LIME) else each for name, each in subject.methods.items()}
    return replace(subject, methods=fast)


def finding(found: Similarities, claims: Sequence[Claim]) -> str:
    """Return the answer in words, computed from the numbers.

    Args:
        found: The similarities.
        claims: The paper's findings, judged.
    """
    epsilon = found.measured.plan.reference
    version = found.untargeted[found.measured.plan.epsilons.index(epsilon)]
    named = {name: each for name, each in found.measured.explained.methods.items() if not isinstance(each, Random)}
    least = []
    for metric, title in METRICS.items():
        means = {name: mean for name in named if (mean := found.mean(name, metric, version)) is not None}
        if means:
            name = min(means, key=lambda name: means[name].value)
            least.append(f"{title} {name} {means[name]}")
    judged = ", ".join(f'"{claim.text}" {claim.verdict}' for claim in claims)
    alike = (
        f"Least alike under FGSM of epsilon {epsilon:g}: {', '.join(least)}." if least else "No map can be compared."
    )
    return f"{alike} {_told(found, epsilon)} {judged}."


def _told(found: Similarities, epsilon: float) -> str:
    """Return how well an oracle tells the attack from noise."""
    areas = {
        f"{name}'s {title}": area
        for name in found.methods
        for metric, title in METRICS.items()
        if (area := found.auroc(name, metric, epsilon)) is not None
    }
    if not areas:
        return "The paper's findings:"
    best = max(areas, key=lambda name: areas[name].value)
    above = sum(area.low > CHANCE for area in areas.values())
    return (
        f"An oracle that is told the clean map tells the attack from sign noise of this size better than chance by "
        f"{above} of {len(areas)} similarities, best by {best} (AUROC {areas[best]}). The paper's findings:"
    )
