"""How far the maps of two classes of one image differ, beside those of two images (Figure 1)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor

from experiments.explanation.enhance.maps import BASES
from experiments.explanation.enhance.methods import GRADIENT, PLAIN
from experiments.explanation.enhance.multi_label import MultiLabel, read_voc, side_by_side
from experiments.explanation.subject import Explained
from experiments.results.bootstrap import Resampling, Statistic, mean_of
from saliency.maps import runner_up
from saliency.similarity import average_difference, similarity_ratio

SAME: Final = "two classes, same image"
OTHER: Final = "same class, two images"
NATURAL: Final = "predicted and runner-up, test image"

RATIO: Final = "Sim-Ratio, s > 0"
RATIO_NONZERO: Final = "Sim-Ratio, s != 0"
DIFFERENCE: Final = "Avg-Diff"

MEASURES: Final[Mapping[str, Callable[[Tensor, Tensor], Tensor]]] = {
    RATIO: similarity_ratio,
    RATIO_NONZERO: lambda first, second: similarity_ratio(first, second, signed=False),
    DIFFERENCE: average_difference,
}


@dataclass(frozen=True)
class Compared:
    """Pairs of maps of one method.

    Attributes:
        method: Its name.
        sample: Which pairs.
        values: By measure, (p,) of the pairs.
        by_group: By measure, (g,), means over the pairs of each image, or of each disjoint pair of images.
        means: By measure, over these.
    """

    method: str
    sample: str
    values: Mapping[str, Tensor]
    by_group: Mapping[str, Tensor]
    means: Mapping[str, Statistic]


@dataclass(frozen=True)
class ClassPairs:
    """What Figure 1 shows.

    Attributes:
        source: Where the images with several classes come from.
        images: How many there are.
        recognised: Share of them whose predicted class is one of theirs.
        chance: What guessing would give.
        compared: By method and sample.
        more_alike: Sim-Ratio of guided backpropagation between classes of one image, minus that between two images.
    """

    source: str
    images: int
    recognised: Statistic
    chance: float
    compared: Mapping[tuple[str, str], Compared]
    more_alike: Statistic


def class_pairs(explained: Explained, source: str, found: MultiLabel, resamples: int) -> ClassPairs | None:
    """Return how alike maps of two classes are, for guided backpropagation and the gradient.

    Args:
        explained: Classifier, images and methods.
        source: Where the images with several classes come from.
        found: These.
        resamples: Of the bootstrap.

    Returns:
        None if there are fewer than two images with several classes.
    """
    every = replace(explained, methods={**BASES, **explained.methods})
    count = len(found.images)
    if count < 2:  # noqa: PLR2004 - what is compared with another image
        return None
    every_pair = [each for method in (PLAIN, GRADIENT) for each in _of_method(every, found, method, resamples)]
    compared = {(each.method, each.sample): each for each in every_pair}
    predicted = every.predict(found.images).argmax(1).tolist()
    hits = torch.tensor([float(each in classes) for each, classes in zip(predicted, found.classes, strict=True)])
    return ClassPairs(
        source=source,
        images=count,
        recognised=_known(hits, resamples),
        chance=sum(map(len, found.classes)) / count / len(every.classes),
        compared=compared,
        more_alike=_more_alike(compared[PLAIN, SAME], compared[PLAIN, OTHER], resamples),
    )


def _of_method(every: Explained, found: MultiLabel, method: str, resamples: int) -> Iterator[Compared]:
    """Yield the pairs of a method's maps by sample; each map is made once."""
    entries = _entries(found.classes)
    rows, classes = (torch.tensor(column) for column in zip(*entries, strict=True))
    maps = every.attributions(method, found.images[rows], classes, "classes")
    for sample, pairs in {SAME: _same(found.classes), OTHER: _other(found.classes)}.items():
        first = maps[[entries[pair.first] for pair in pairs]]
        second = maps[[entries[pair.second] for pair in pairs]]
        yield _compared(method, sample, first, second, torch.tensor([pair.group for pair in pairs]), resamples)
    yield _natural(every, method, resamples)


def multi_label(every: Explained) -> tuple[str, MultiLabel]:
    """Return images with several classes, and in words where they come from.

    Raises:
        FileNotFoundError: If Pascal VOC is asked for and not there.
        ValueError: If it has no photograph of two of the classes.
    """
    root = every.study.options.get("voc")
    if root is None:
        return "halves of two images, side by side", side_by_side(every.images, every.labels)
    _, channels, height, width = every.images.shape
    found = read_voc(Path(root), (channels, height, width), every.classes, len(every.images))
    return "Pascal VOC 2012, validation", found


class _Pair(NamedTuple):
    """Two maps, each by image and class, and the number of the group that they belong to."""

    first: tuple[int, int]
    second: tuple[int, int]
    group: int


def _same(classes: Sequence[tuple[int, ...]]) -> list[_Pair]:
    return [
        _Pair((row, first), (row, second), row)
        for row, known in enumerate(classes)
        for first, second in combinations(known, 2)
    ]


def _other(classes: Sequence[tuple[int, ...]]) -> list[_Pair]:
    """Return disjoint pairs of images, under the first class of one of them."""
    odd = range(1, len(classes), 2)
    return [_Pair((row - 1, classes[row - 1][0]), (row, classes[row - 1][0]), row // 2) for row in odd]


def _entries(classes: Sequence[tuple[int, ...]]) -> dict[tuple[int, int], int]:
    """Return the place of each map that is needed, by image and class."""
    wanted = [side for pair in [*_same(classes), *_other(classes)] for side in (pair.first, pair.second)]
    return {each: place for place, each in enumerate(dict.fromkeys(wanted))}


def _natural(every: Explained, method: str, resamples: int) -> Compared:
    classes = every.predictions, runner_up(every.logits, every.predictions)
    first, second = (every.attributions(method, every.images, each, "test images") for each in classes)
    return _compared(method, NATURAL, first, second, torch.arange(len(first)), resamples)


def _compared(method: str, sample: str, first: Tensor, second: Tensor, groups: Tensor, resamples: int) -> Compared:
    values = {name: measure(first, second) for name, measure in MEASURES.items()}
    by_group = {name: _by_group(each, groups) for name, each in values.items()}
    means = {name: _known(each, resamples) for name, each in by_group.items()}
    return Compared(method, sample, values, by_group, means)


def _by_group(values: Tensor, groups: Tensor) -> Tensor:
    """Return the mean (g,) of the values of each group."""
    sums = torch.zeros(int(groups.max()) + 1, dtype=values.dtype).index_add_(0, groups, values)
    return sums / torch.bincount(groups)


def _known(values: Tensor, resamples: int) -> Statistic:
    """Return the mean of values (g,), all known and at least one."""
    found = mean_of(values, Resampling(len(values), resamples))
    if found is None:
        msg = "a mean of no values was asked for"
        raise ValueError(msg)
    return found


def _more_alike(same: Compared, other: Compared, resamples: int) -> Statistic:
    """Return the difference of the Sim-Ratios, paired by disjoint pairs of images."""
    apart = other.by_group[RATIO]
    together = same.by_group[RATIO][: 2 * len(apart)].view(-1, 2).mean(1)
    return _known(together - apart, resamples)
