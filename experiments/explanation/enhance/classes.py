"""How far the maps of two classes of one image differ, beside those of two images (Figure 1)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Final

import torch
from torch import Tensor

from experiments.explanation.enhance import names
from experiments.explanation.enhance.attacked_images import BASES
from experiments.explanation.enhance.multi_label import MultiLabel
from experiments.explanation.enhance.records import ClassPairs, MapPairs
from experiments.explanation.subject import Explained
from experiments.results.bootstrap import Resampling, mean_of_all
from saliency.maps import runner_up
from saliency.similarity import average_difference, similarity_ratio

MEASURES: Final[Mapping[str, Callable[[Tensor, Tensor], Tensor]]] = {
    names.RATIO: similarity_ratio,
    names.RATIO_NONZERO: lambda first, second: similarity_ratio(first, second, signed=False),
    names.DIFFERENCE: average_difference,
}


def class_pairs(explained: Explained, several: MultiLabel, resamples: int) -> ClassPairs | None:
    """Return how alike maps of two classes are, for guided backpropagation and the gradient.

    Args:
        explained: Classifier, images and methods.
        several: Images with several classes.
        resamples: Number of bootstrap resamples.

    Returns:
        None if there are fewer than two images with several classes.
    """
    count = len(several.images)
    if count < 2:  # noqa: PLR2004 - a pair
        return None
    every = replace(explained, methods={**BASES, **explained.methods})
    compared, ratios = {}, {}
    for method in (names.PLAIN, names.GRADIENT):
        for pairs, ratio in _of_method(every, several, method, resamples):
            compared[method, pairs.sample], ratios[method, pairs.sample] = pairs, ratio
    predicted = every.predict(several.images).argmax(1).tolist()
    hits = [float(label in classes) for label, classes in zip(predicted, several.classes, strict=True)]
    apart = ratios[names.PLAIN, names.OTHER]
    together = ratios[names.PLAIN, names.SAME][: 2 * len(apart)].view(-1, 2).mean(1)  # disjoint pairs of images
    return ClassPairs(
        source=several.source,
        images=count,
        recognised=mean_of_all(torch.tensor(hits), Resampling(count, resamples)).plain,
        chance=sum(map(len, several.classes)) / count / len(every.classes),
        compared=compared,
        more_alike=mean_of_all(together - apart, Resampling(len(apart), resamples)).plain,
    )


_Pair = tuple[tuple[int, int], tuple[int, int], int]
"""Two maps, each by image and class, and the number of the group that they belong to."""


def _same(classes: Sequence[tuple[int, ...]]) -> list[_Pair]:
    return [
        ((row, first), (row, second), row)
        for row, several in enumerate(classes)
        for first, second in combinations(several, 2)
    ]


def _other(classes: Sequence[tuple[int, ...]]) -> list[_Pair]:
    """Return disjoint pairs of images, under the first class of one of them."""
    return [((row - 1, classes[row - 1][0]), (row, classes[row - 1][0]), row // 2) for row in range(1, len(classes), 2)]


def _of_method(every: Explained, several: MultiLabel, method: str, resamples: int) -> Iterator[tuple[MapPairs, Tensor]]:
    """Yield the pairs of a method's maps by sample, with the Sim-Ratio (g,) of each group; each map is made once."""
    samples = {names.SAME: _same(several.classes), names.OTHER: _other(several.classes)}
    wanted = [side for pairs in samples.values() for pair in pairs for side in (pair[0], pair[1])]
    places = {entry: place for place, entry in enumerate(dict.fromkeys(wanted))}
    rows, classes = torch.tensor(list(places)).T
    maps = every.attributions(method, several.images[rows], classes, "classes")
    for sample, pairs in samples.items():
        left = maps[[places[first] for first, _, _ in pairs]]
        right = maps[[places[second] for _, second, _ in pairs]]
        groups = torch.tensor([group for _, _, group in pairs])
        yield _compared(method, sample, left, right, groups, resamples)
    targets = every.predictions, runner_up(every.logits, every.predictions)
    left, right = (every.attributions(method, every.images, classes, "test images") for classes in targets)
    yield _compared(method, names.NATURAL, left, right, torch.arange(len(left)), resamples)


def _compared(
    method: str, sample: str, first: Tensor, second: Tensor, groups: Tensor, resamples: int
) -> tuple[MapPairs, Tensor]:
    values = {name: measure(first, second) for name, measure in MEASURES.items()}
    by_group = {name: _by_group(of_pairs, groups) for name, of_pairs in values.items()}
    means = {
        name: mean_of_all(of_groups, Resampling(len(of_groups), resamples)).plain
        for name, of_groups in by_group.items()
    }
    plain = {name: of_pairs.tolist() for name, of_pairs in values.items()}
    return MapPairs(method, sample, plain, means), by_group[names.RATIO]


def _by_group(values: Tensor, groups: Tensor) -> Tensor:
    """Return the mean (g,) of the values of each group."""
    sums = torch.zeros(int(groups.max()) + 1, dtype=values.dtype).index_add_(0, groups, values)
    return sums / torch.bincount(groups)
