"""Matching: the classifier's outputs at an image are made those at a clean image of another class."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from attacks.base import MostPasses
from attacks.checks import at_least
from attacks.errors import InputError, unknown
from attacks.guard import check_images
from attacks.loop import gradients_of
from attacks.problem import Problem
from attacks.white_box.remedy import classifier_of
from attacks.white_box.walk import Kept, Look, Walk

_REJECTED = 1e6
"""Added to the distance of guides that the detector rejects: they come last; distances are of the order of 1."""

_EXACT = "donot_use_mm_for_euclid_dist"
"""Of two ways to compute distances, the one that does not depend on how many images there are."""


class _Signature(NamedTuple):
    """The outputs (n, S) that are matched, of one pass: logits and, where asked for, a layer's; with the scores."""

    values: list[Tensor]
    logits: Tensor
    scores: Tensor


@dataclass(frozen=True, kw_only=True)
class Matching(Walk):
    r"""Descent of :math:`\lVert z(x) - z(g) \rVert^2`, z the logits, g a clean image of another class: the guide.

    Detectors of consistency ask whether the logits, or features, are those that clean images of the predicted class
    have, or change under noise as theirs do. An image with the outputs of a clean one passes, and no gradient of the
    detector is asked for. Guides are clean images whose prediction is not the label (targeted: is the target); those
    that the detector accepts come first. An image is led to the ones nearest to it in z, in a walk for each, until it
    is misclassified and accepted; images without a guide come back as they were. Kept is the misclassified point of
    lowest score.

    Args:
        guides: (M, C, H, W) in [0, 1], clean images that the attacker has, M at least 1. Their passes, one for each
            chunk of images, are counted in equal parts as the images' own.
        layer: A sub-module of the classifier, by its name in `named_modules`, whose output is matched as well; null:
            logits only. Each of the two counts in units of its variance over the guides.
        layer_weight: Weight of the layer's distance relative to the logits', at least 0.
        matches: So many guides of each image are tried, at least 1.

    Raises:
        ValueError: If guides are no images in [0, 1], or, when called, of another shape than the images, or the
            classifier has no such layer.

    Reference: Tramer et al., "On Adaptive Attacks to Adversarial Example Defenses", arXiv 2002.08347, against "The Odds
    are Odd", for the logits; Sabour et al., "Adversarial Manipulation of Deep Representations", arXiv 1511.05122, for
    the features.
    """

    guides: Tensor
    layer: str | None = None
    layer_weight: float = 1.0
    matches: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        check_images(self.guides)
        at_least(1, matches=self.matches, guides=len(self.guides))
        at_least(0, layer_weight=self.layer_weight)

    @property
    def _ways(self) -> int:
        return self.matches

    def most_passes(self, classes: int) -> MostPasses:
        """Return the most passes for an image; see `Attack.most_passes`."""
        most = super().most_passes(classes)
        starts = self.restarts * (1 if self.targeted else 1 + min(self.goals, classes - 1))
        return MostPasses(most.forward + starts * (1 + len(self.guides)), most.backward)

    def _walks(self, problem: Problem, start: Tensor, kept: Kept, generators: list[Generator]) -> None:  # noqa: ARG002
        for goal in self._goals(problem):
            rows = (goal.available & ~kept.accepted).nonzero().flatten()
            if len(rows):
                part = kept.of(rows)
                self._walk(problem[rows], start[rows], part, goal.of(rows))
                kept.put(rows, part)

    @torch.no_grad()
    def _goals(self, problem: Problem) -> Iterator["_Guides"]:
        """Yield, for each walk, the guides that images are led to; the nearest first."""
        guides = self._seen_guides(problem)
        weights = (1.0, self.layer_weight)
        units = [_unit_of(values) / weight**0.5 for values, weight in zip(guides.values, weights, strict=False)]
        places = _scaled(guides.values, units)
        start = _scaled(self._look(problem, problem.images).values, units)
        same = guides.logits.argmax(1) == problem.labels[:, None]
        distances = torch.cdist(start, places, compute_mode=_EXACT) + _REJECTED * ~(guides.scores <= 0)
        distances = distances.masked_fill(same != self.targeted, torch.inf)
        nearest = distances.topk(min(self.matches, len(places)), largest=False)
        for distance, guide in zip(nearest.values.T, nearest.indices.T, strict=True):
            yield _Guides(places[guide], distance.isfinite(), units)

    def _seen_guides(self, problem: Problem) -> "_Signature":
        guides = self.guides.to(problem.images)
        if guides.shape[1:] != problem.images.shape[1:]:
            msg = f"guides are of shape {tuple(guides.shape[1:])}, the images of {tuple(problem.images.shape[1:])}"
            raise InputError(msg)
        parts = [self._look(problem, guides[rows]) for rows in problem.batches(torch.arange(len(guides)))]
        values = [torch.cat(each) for each in zip(*(part.values for part in parts), strict=True)]
        return _Signature(
            values, torch.cat([part.logits for part in parts]), torch.cat([part.scores for part in parts])
        )

    def _look(self, problem: Problem, points: Tensor) -> "_Signature":
        with _outputs_of(classifier_of(problem), self.layer) as outputs:
            logits, scores = problem.joint(points)
        features = [] if self.layer is None else [outputs[0].flatten(1)]
        return _Signature([logits, *features], logits, scores)

    def _ask(self, problem: Problem, points: Tensor, way: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Return logits, scores, and the distance (N,) to the guides, which is what is to be lowered."""
        seen = self._look(problem, points)
        return seen.logits, seen.scores, (_scaled(seen.values, way.units) - way.place).square().sum(1)

    def _direction(self, problem: Problem, look: Look, way: Any) -> Tensor:  # noqa: ARG002
        return self._steepest(problem, gradients_of([look.suspicion], look.points)[0])


class _Guides(NamedTuple):
    """The guide of each image: its scaled outputs (n, S), whether there is one (n,) bool, and the units."""

    place: Tensor
    available: Tensor
    units: list[Tensor]

    def of(self, rows: Tensor) -> "_Guides":
        """Return those of some images."""
        return _Guides(self.place[rows], self.available[rows], self.units)


def _unit_of(values: Tensor) -> Tensor:
    """Return the root of the variance over guides, of values (M, S) summed; 1 where they do not vary."""
    spread = values.var(0, correction=0).sum().sqrt()
    return torch.where(spread > 0, spread, 1)


def _scaled(values: list[Tensor], units: list[Tensor]) -> Tensor:
    return torch.cat([each / unit for each, unit in zip(values, units, strict=True)], 1)


@contextmanager
def _outputs_of(classifier: nn.Module, layer: str | None) -> Iterator[list[Tensor]]:
    """Collect what a layer of the classifier returns, pass by pass."""
    if layer is None:
        yield []
        return
    layers = dict(classifier.named_modules())
    if layer not in layers:
        raise InputError(unknown("layer", layer, [name for name in layers if name]))
    outputs: list[Tensor] = []
    handle = layers[layer].register_forward_hook(lambda _layer, _inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()
