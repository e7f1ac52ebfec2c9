"""Grids of Figures 3 and 5: maps of clean and attacked images, of attacks that fail and that succeed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from experiments.explanation.enhance import names
from experiments.results.grids import GridCell, grid

_NOTE: Final = (
    "Under an image the predicted class, red where it is wrong; each map is of that class, absolute values from 0 "
    "(dark) to its own maximum."
)

_ROW_NAMES: Final = {names.PLAIN: "guided\nbackprop", names.ENHANCED: "enhanced\nguided backprop"}


@dataclass(frozen=True)
class ExampleImages:
    """Images to show, in one version.

    Attributes:
        images: (n, C, H, W).
        captions: The predicted class of each, with a number.
        wrong: Whether this class is not the true one.
        there: Whether the image has this version.
        maps: Maps (n, 1, H, W) by method, absolute values as a share of their largest.
    """

    images: Tensor
    captions: Sequence[str]
    wrong: Sequence[bool]
    there: Sequence[bool]
    maps: Mapping[str, Tensor]


@dataclass(frozen=True)
class Examples:
    """Images to show, in several versions.

    Attributes:
        versions: The same images by version, the clean ones first.
        budgets: Epsilon of the attacks that have one, by name.
    """

    classes: Sequence[str]
    versions: Mapping[str, ExampleImages]
    budgets: Mapping[str, float]


def versions(examples: Examples) -> bytes:
    """Return Figure 3: a row for each version of an image, a column for each method."""
    first, *_ = examples.versions
    lines = [
        (f"{name}\n{label}" if name == first else name, [_image(version, row), *_maps(version, row)])
        for row, label in enumerate(examples.classes)
        for name, version in examples.versions.items()
    ]
    columns = ["image", *(name.replace("_", " ") for name in examples.versions[first].maps)]
    budgets = ", ".join(f"{name}: epsilon {epsilon:g}" for name, epsilon in examples.budgets.items())
    note = f"{_NOTE} In brackets the softmax. Budgets: {budgets}."
    return grid("Maps of clean and attacked images", columns, lines, note, size=1.05)


def outcomes(examples: Examples) -> bytes:
    """Return Figure 5: a column for each outcome, under the image its map by guided backpropagation and enhanced."""
    lines = []
    for row, label in enumerate(examples.classes):
        shown = examples.versions.values()
        titles = (label, *(_ROW_NAMES[method] for method in next(iter(shown)).maps))
        columns = [[_image(version, row), *_maps(version, row)] for version in shown]
        lines += list(zip(titles, map(list, zip(*columns, strict=True)), strict=True))
    note = f"{_NOTE} The number is epsilon: the largest, of the run's and its halves, that fails or succeeds."
    return grid("Failed and successful attacks", list(examples.versions), lines, note)


def _image(version: ExampleImages, row: int) -> GridCell:
    if not version.there[row]:
        return GridCell(None, "none found")
    return GridCell(version.images[row], version.captions[row], warns=version.wrong[row])


def _maps(version: ExampleImages, row: int) -> list[GridCell]:
    return [
        GridCell(maps[row], colours="viridis") if version.there[row] else GridCell(None)
        for maps in version.maps.values()
    ]
