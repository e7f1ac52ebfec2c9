"""Similarities that are made up, so that what is said of them is known."""

from types import SimpleNamespace

import torch

from experiments.explanation.similarity.measured import METRICS, OTHERS, Measured
from experiments.explanation.similarity.records import Similarities
from experiments.explanation.similarity.versions import CLEAN, Plan, Version
from experiments.results.bootstrap import Estimates
from saliency import GradCAM, Gradient, GuidedBackprop, Random, SmoothGrad

METHODS = {
    "noise": Random(),
    "smooth": SmoothGrad(),
    "plain": Gradient(),
    "cam": GradCAM(),
    "guided": GuidedBackprop(),
}
IMAGES = 40


def similarities(level, methods=METHODS, epsilons=(0.1, 0.2, 0.3), targets=(0, 1, 2)):
    """Return similarities whose values are `level(method, metric, version)` with a spread of .05 between images.

    Under noise the spread has the other order.
    The image of an even row is fooled by the attacks; the classifier predicts class 0 and 1 in turns.
    """
    plan = Plan(list(epsilons), 0.2, list(targets), "mean", 200)
    predictions = torch.arange(IMAGES) % 2
    explained = SimpleNamespace(
        methods=methods,
        images=torch.zeros(IMAGES, 1, 8, 8),
        predictions=predictions,
        classes=["ant", "bee", "cat"],
        study=SimpleNamespace(options={"methods": methods}),
    )
    spread = torch.linspace(-0.05, 0.05, IMAGES, dtype=torch.float64)
    alike = {
        (method, version): {
            metric: level(method, metric, version) + (-spread if version.kind == "sign noise" else spread)
            for metric in (*METRICS, *OTHERS)
        }
        for method in methods
        for version in [*plan.versions(), Version("another image")]
    }
    seen = {version: predictions + (predictions == 0) * (version.kind == "untargeted") for version in plan.versions()}
    seen |= {version: torch.full((IMAGES,), version.target) for version in seen if version.kind == "targeted"}
    measured = Measured(explained, plan, alike, {CLEAN: predictions} | seen, {}, torch.empty(0), {}, {})
    return Similarities(measured, Estimates(IMAGES, plan.resamples))
