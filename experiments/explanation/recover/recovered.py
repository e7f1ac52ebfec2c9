"""How well each method's map recovers the attacked regions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Generator, Tensor

from experiments.explanation.recover.attempts import Attempts
from experiments.explanation.subject import Explained
from saliency import LIME
from saliency.maps import reduce
from saliency.recovery import auroc, descending, hits, jaccard, likeness, pooled, superpixel_ranks, union_sizes

UNIONS: Final = 20
"""The paper's partial unions: of the 1 ... 20 best superpixels."""

PERTURBATION: Final = "perturbation"
"""The positive control: the change itself, which is zero outside of the region."""

RANDOM: Final = "random"
LIME_NAME: Final = "lime"


@dataclass(frozen=True)
class Recovery:
    """What one method's explanations share with the attacked regions.

    Attributes:
        jaccard: (M, 20), of the explanations of the unions' sizes.
        likeness: (M, 20).
        level: (M,), the Jaccard index of an explanation as large as the region.
        auroc: (M,), of the map as a score of pixels.
        shown: (S, P), the pixels of the examples, the most relevant first.
    """

    jaccard: Tensor
    likeness: Tensor
    level: Tensor
    auroc: Tensor
    shown: Tensor


@dataclass(frozen=True)
class Recovered:
    """All methods on all adversarial images.

    Attributes:
        sizes: (M, 20), pixels of each union of LIME's superpixels, and so of every explanation.
        areas: (M,), pixels of the region.
        pixels: Of an image.
        superpixels: (M,), how many LIME had.
        positive: (M,), how many of them had a positive weight.
        methods: By name, `PERTURBATION` and `RANDOM` among them.
        pooled: By name, without LIME: the same maps, averaged over LIME's superpixels.
        examples: (S,), the adversarial images that are shown.
    """

    sizes: Tensor
    areas: Tensor
    pixels: int
    superpixels: Tensor
    positive: Tensor
    methods: Mapping[str, Recovery]
    pooled: Mapping[str, Recovery]
    examples: Tensor


def lime_of(found: Explained) -> LIME:
    """Return the method whose superpixels set the sizes of all explanations.

    Raises:
        ValueError: If there is none; says what to do.
    """
    method = found.methods.get(LIME_NAME)
    if not isinstance(method, LIME):
        msg = (
            f"the methods are {', '.join(found.methods)}, but the unions of LIME's superpixels set the sizes of all "
            f"explanations: name a saliency.LIME {LIME_NAME!r} among them"
        )
        raise ValueError(msg)  # noqa: TRY004 - what is lacking is a method of that name
    return method


def recovered(found: Explained, attempts: Attempts, examples: Tensor) -> Recovered:
    """Explain all adversarial images for their wrong class, by every method.

    Args:
        found: Its methods, among them LIME and random noise.
        attempts: What to explain.
        examples: (S,), the adversarial images whose explanations are kept to be shown.
    """
    images, targets = attempts.adversarial, attempts.targets
    superpixels = lime_of(found).superpixels(images)
    weights = found.attributions(LIME_NAME, images, targets)
    ranks, positive = superpixel_ranks(superpixels, weights, _generators(attempts))
    flat = attempts.regions.flatten(1)
    sizes = union_sizes(ranks, UNIONS)
    best_first = torch.where(ranks > 0, 1 / ranks.clamp_min(1), torch.zeros(()))
    made = {LIME_NAME: _of(best_first, sizes, flat, attempts, examples)}
    averaged = {}
    for name in [*(each for each in found.methods if each != LIME_NAME), PERTURBATION]:
        maps = _change(found, attempts) if name == PERTURBATION else _positive(found, attempts, name)
        made[name] = _of(maps, sizes, flat, attempts, examples)
        averaged[name] = _of(pooled(maps, superpixels), sizes, flat, attempts, examples)
    return Recovered(
        sizes=sizes,
        areas=flat.sum(1),
        pixels=flat.shape[1],
        superpixels=superpixels.flatten(1).amax(1) + 1,
        positive=positive,
        methods={name: made[name] for name in [*(each for each in found.methods if each != RANDOM), *_CONTROLS]},
        pooled={name: averaged[name] for name in [*(each for each in averaged if each not in _CONTROLS), *_CONTROLS]},
        examples=examples,
    )


_CONTROLS: Final = (PERTURBATION, RANDOM)
"""Last in every table."""


def _positive(found: Explained, attempts: Attempts, name: str) -> Tensor:
    return reduce(found.attributions(name, attempts.adversarial, attempts.targets), "positive")


def _change(found: Explained, attempts: Attempts) -> Tensor:
    return reduce(attempts.adversarial - found.images[attempts.sources], "l1")


def _of(maps: Tensor, sizes: Tensor, regions: Tensor, attempts: Attempts, examples: Tensor) -> Recovery:
    """Return a method's recovery by its maps, (M, H, W) or (M, 1, H, W), at least 0."""
    order = descending(maps.flatten(1), _generators(attempts))
    areas, pixels = regions.sum(1, keepdim=True), regions.shape[1]
    both, level = hits(order, regions, sizes), hits(order, regions, areas)
    return Recovery(
        jaccard=jaccard(both, sizes, areas),
        likeness=likeness(both, sizes, areas, pixels),
        level=jaccard(level, areas, areas)[:, 0],
        auroc=auroc(order, regions),
        shown=order[examples],
    )


def _generators(attempts: Attempts) -> Sequence[Generator]:
    """Return a generator for each adversarial image, which breaks ties the same way for every method."""
    return [Generator().manual_seed(int(number)) for number in attempts.succeeded.nonzero()]


def examples_of(attempts: Attempts, count: int) -> Tensor:
    """Return adversarial images to show, (S,): of each of the first images the one whose region is in the middle.

    Args:
        attempts: The largest regions of an image come first.
        count: At most so many.
    """
    rows = [(attempts.sources == image).nonzero().flatten() for image in torch.unique(attempts.sources)[:count]]
    return torch.stack([row[len(row) // 2] for row in rows])
