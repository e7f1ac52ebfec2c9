"""`evaluate.py similarity`: do saliency maps stay alike under attack (Liu, Liu, Hosseini)?"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Final

import torch

from attacks.checks import one_of
from attacks.errors import InputError
from experiments.explanation.similarity.changes import SimilaritySettings
from experiments.explanation.similarity.charts import charts
from experiments.explanation.similarity.comparisons import records_of
from experiments.explanation.similarity.findings import finding, judge
from experiments.explanation.similarity.flags import flags
from experiments.explanation.similarity.grids import grids
from experiments.explanation.similarity.measure import measure
from experiments.explanation.similarity.records import rows_of
from experiments.explanation.similarity.tables import tables
from experiments.explanation.subject import explained
from experiments.results.result import Result
from experiments.study.study import Study
from saliency import LIME, SaliencyMethod
from saliency.checkpoints import Portable
from saliency.maps.reduction import REDUCTIONS, Reduction

QUESTION: Final = (
    "How alike are the saliency maps of an image before and after an attack, by Spearman's correlation, structural "
    "similarity and histograms of gradients; and do they move further than under noise of the same size?"
)

SAMPLES: Final = 100
"""Samples of LIME for each of some thousand maps, unless methods are given."""

EPSILONS: Final = (0.01, 0.03, 0.1, 0.2, 0.3, 0.4, 0.5)
"""The last five are the paper's .2 to 1 on images in [-1, 1]."""

TARGETED_EPSILON: Final = 0.2
"""The paper's .4 on images in [-1, 1]."""

MANY, FEW = 20, 10
"""With at most `MANY` classes all are targets; with more, `FEW` of them."""


def similarity(
    study: Study,
    *,
    images: int = 200,
    methods: dict[str, SaliencyMethod] | None = None,
    classifier: str | Portable | None = None,
    photographs: str | None = None,
    size: int | None = None,
    resamples: int = 1000,
    epsilons: Sequence[float] = EPSILONS,
    targeted_epsilon: float = TARGETED_EPSILON,
    targets: list[int] | None = None,
    reduction: Reduction = "mean",
) -> Result:
    """Return how alike maps of clean and attacked images are, for every method.

    Args:
        study: A run whose classifier is trained.
        images: Largest number of images.
        methods: Saliency methods by name, as classes with their arguments; null: all.
        classifier: Your own: class path, .ckpt, or class with arguments; null: the run's.
        photographs: A folder of images of any kind in place of the test images.
        size: Side in pixels that images are scaled to before they are attacked and explained; null: as they are,
            photographs 224.
        resamples: Bootstrap resamples of the intervals.
        epsilons: Budgets of untargeted FGSM and of the noise, in (0, 1].
        targeted_epsilon: Budget of targeted FGSM.
        targets: Target classes of targeted FGSM; null: all, or ten if there are more than twenty.
        reduction: How maps of several channels become one before they are compared.
    """
    _check(epsilons, targeted_epsilon, reduction)
    subject = explained(
        study, "similarity", images=images, methods=methods, classifier=classifier, photographs=photographs, size=size
    )
    slow = [name for name, method in subject.methods.items() if methods is None and isinstance(method, LIME)]
    subject = replace(subject, methods={**subject.methods, **{name: LIME(samples=SAMPLES) for name in slow}})
    targets = targets_among(subject.logits.shape[1], targets)
    settings = SimilaritySettings(sorted(set(epsilons)), targeted_epsilon, targets, reduction, resamples)
    maps = measure(subject, settings, slow)
    records = records_of(maps)
    claims = judge(records)
    return Result(
        protocol=subject.protocol,
        title="Similarity of saliency maps under attack",
        question=QUESTION,
        finding=finding(records, claims),
        meta=subject.meta() | asdict(settings) | {"claims": [asdict(claim) for claim in claims]},
        rows=rows_of(records),
        tables=tables(records, claims),
        figures=charts(records) | grids(records, maps.examples),
        flags=[*flags(records), subject.flag()],
    )


def _check(epsilons: Sequence[float], targeted_epsilon: float, reduction: str) -> None:
    if not epsilons or not all(0 < epsilon <= 1 for epsilon in [*epsilons, targeted_epsilon]):
        msg = f"epsilons and targeted_epsilon must lie in (0, 1], got {sorted(epsilons)} and {targeted_epsilon}"
        raise InputError(msg)
    one_of(REDUCTIONS, reduction=reduction)


def targets_among(classes: int, targets: Sequence[int] | None = None) -> list[int]:
    """Return the classes that targeted attacks aim at: those given, else all, or `FEW` of more than `MANY`."""
    evenly: list[int] = torch.linspace(0, classes - 1, classes if classes <= MANY else FEW).round().int().tolist()
    aims = evenly if targets is None else list(dict.fromkeys(targets))
    if not aims or not all(0 <= target < classes for target in aims):
        msg = f"targets must be classes from 0 to {classes - 1}, at least one, or null; got {targets}"
        raise InputError(msg)
    return aims
