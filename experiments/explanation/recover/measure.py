"""Measures how far each method's explanations overlap the attacked regions."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Generator, Tensor

from attacks.errors import InputError
from experiments.explanation.recover.overlaps import Attempts, Overlaps, RegionOverlap
from experiments.explanation.recover.records import LIME_NAME, PERTURBATION, RANDOM, UNIONS
from experiments.explanation.subject import Explained
from saliency import LIME
from saliency.maps import reduce
from saliency.recovery import auroc, descending, hits, jaccard, likeness, pooled, superpixel_ranks, union_sizes

_CONTROLS: Final = (PERTURBATION, RANDOM)
"""Last in every table."""


def lime_of(subject: Explained) -> LIME:
    """Return the method whose superpixels set the sizes of all explanations."""
    method = subject.methods.get(LIME_NAME)
    if not isinstance(method, LIME):
        msg = (
            f"the methods are {', '.join(subject.methods)}, but the unions of LIME's superpixels set the sizes of all "
            f"explanations: name a saliency.LIME {LIME_NAME!r} among them"
        )
        raise InputError(msg)
    return method


def measure(subject: Explained, attempts: Attempts, examples: Tensor, resamples: int) -> Overlaps:
    """Explain all adversarial images for their wrong class, by every method.

    Args:
        subject: The classifier with its methods, LIME and random noise among them.
        attempts: The attacks; those that succeeded are explained.
        examples: (S,), rows of the adversarial images whose explanations are kept to be shown.
        resamples: Number of bootstrap resamples.
    """
    images, targets = attempts.adversarial, attempts.targets
    superpixels = lime_of(subject).superpixels(images)
    weights = subject.attributions(LIME_NAME, images, targets)
    places, positive = superpixel_ranks(superpixels, weights, _generators(attempts))
    sizes = union_sizes(places, UNIONS)
    best_first = torch.where(places > 0, 1 / places.clamp_min(1), torch.zeros(()))
    methods, averaged = {LIME_NAME: _overlap(best_first, sizes, attempts, examples)}, {}
    for name in [*(name for name in subject.methods if name != LIME_NAME), PERTURBATION]:
        if name == PERTURBATION:
            maps = reduce(images - attempts.images[attempts.sources], "l1")
        else:
            maps = reduce(subject.attributions(name, images, targets), "positive")
        methods[name] = _overlap(maps, sizes, attempts, examples)
        averaged[name] = _overlap(pooled(maps, superpixels), sizes, attempts, examples)
    order = [*(name for name in subject.methods if name not in _CONTROLS), *_CONTROLS]
    return Overlaps(
        attempts=attempts,
        resamples=resamples,
        sizes=sizes,
        superpixels=superpixels.flatten(1).amax(1) + 1,
        positive=positive,
        methods={name: methods[name] for name in order},
        pooled={name: averaged[name] for name in order if name != LIME_NAME},
        examples=examples,
    )


def _overlap(maps: Tensor, sizes: Tensor, attempts: Attempts, examples: Tensor) -> RegionOverlap:
    """Return how far a method's maps, (M, H, W) or (M, 1, H, W) and at least 0, overlap the regions."""
    order, regions = descending(maps.flatten(1), _generators(attempts)), attempts.regions.flatten(1)
    areas, pixels = regions.sum(1, keepdim=True), regions.shape[1]
    both, level = hits(order, regions, sizes), hits(order, regions, areas)
    return RegionOverlap(
        jaccard=jaccard(both, sizes, areas),
        likeness=likeness(both, sizes, areas, pixels),
        level=jaccard(level, areas, areas)[:, 0],
        auroc=auroc(order, regions),
        shown=order[examples],
    )


def _generators(attempts: Attempts) -> Sequence[Generator]:
    """Return a generator for each adversarial image: every method breaks ties in the same way."""
    return [Generator().manual_seed(int(number)) for number in attempts.succeeded.nonzero()]


def examples_of(attempts: Attempts, count: int) -> Tensor:
    """Return rows (S,) of adversarial images to show: for each of the first images the one with the middle region.

    Args:
        attempts: The largest regions of an image come first.
        count: At most so many.
    """
    rows = [(attempts.sources == image).nonzero().flatten() for image in torch.unique(attempts.sources)[:count]]
    return torch.stack([row[len(row) // 2] for row in rows])
