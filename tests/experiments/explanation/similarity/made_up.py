"""Similarities that are made up, so that what is said of them is known."""

import torch

from experiments.explanation.similarity.changes import ANOTHER, CLEAN, SimilaritySettings
from experiments.explanation.similarity.measure import papers_methods
from experiments.explanation.similarity.records import METRICS, OTHERS
from experiments.explanation.similarity.similarities import Similarities
from saliency import GradCAM, Gradient, GuidedBackprop, Random, SmoothGrad

METHODS = {
    "noise": Random(),
    "smooth": SmoothGrad(),
    "plain": Gradient(),
    "cam": GradCAM(),
    "guided": GuidedBackprop(),
}
IMAGES = 40


def similarities(level, methods=METHODS, epsilons=(0.1, 0.2, 0.3), targets=(0, 1, 2), *, shuffled=True):
    """Return maps whose similarities are `level(method, metric, change)` with a spread of .05 between images.

    The spread has another order for each method, measure and change, if shuffled. Under noise the map of the first
    image is the least alike and that of the second the most, so that no AUROC is 0 or 1. The image of an even row is
    fooled by the attacks; the classifier predicts class 0 and 1 in turns.
    """
    settings = SimilaritySettings(list(epsilons), 0.2, list(targets), "mean", 200)
    before, generator = torch.arange(IMAGES) % 2, torch.Generator().manual_seed(0)
    spread = torch.linspace(-0.05, 0.05, IMAGES, dtype=torch.float64)

    def of(method, metric, change):
        values = level(method, metric, change) + (
            spread[torch.randperm(IMAGES, generator=generator)] if shuffled else spread
        )
        if change.kind == "sign noise":
            values[:2] += torch.tensor([-2.0, 2.0])[:IMAGES]
        return values

    alike = {
        (method, change): {metric: of(method, metric, change) for metric in (*METRICS, *OTHERS)}
        for method in methods
        for change in [*settings.changes(), ANOTHER]
    }
    predictions = {change: before + (before == 0) * (change.kind == "untargeted") for change in settings.changes()}
    predictions |= {attack: torch.full((IMAGES,), attack.target) for attack in settings.targeted}
    ours = papers_methods(methods)
    return Similarities(
        methods=[*ours.values(), *(name for name in methods if name not in ours.values())],
        paper=ours,
        random=[name for name, method in methods.items() if isinstance(method, Random)],
        slow=[],
        classes=["ant", "bee", "cat"],
        settings=settings,
        predictions={CLEAN: before} | predictions,
        alike=alike,
        again={},
        examples=[],
    )
