"""The images shown, before and after the untargeted attack, over the maps of every method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from experiments.explanation.similarity.changes import CLEAN, Change
from experiments.explanation.similarity.records import SimilarityRecords
from experiments.results.grids import GridCell, grid

_NOTE = (
    "Under an image stands its predicted class, red where it is not the clean image's. Each map is of that class and "
    "scaled by its largest absolute value, which stands under it. With sign, blue is below 0 and red above; without, "
    "dark is 0."
)


@dataclass(frozen=True)
class Example:
    """An image that the grids show.

    Attributes:
        number: Its number in the test split or in the folder of photographs.
        label: Name of its class.
        predictions: The predicted class by change.
        images: Its versions (C, H, W) by change.
        maps: Their maps (1, H, W) by method and change.
    """

    number: int
    label: str
    predictions: Mapping[Change, int]
    images: Mapping[Change, Tensor]
    maps: Mapping[tuple[str, Change], Tensor]


def grids(records: SimilarityRecords, examples: Sequence[Example]) -> dict[str, bytes]:
    """Return a grid for each image shown."""
    return {f"maps_{place}": _grid(records, example) for place, example in enumerate(examples, 1)}


def _grid(records: SimilarityRecords, example: Example) -> bytes:
    changes = [CLEAN, *records.settings.untargeted]
    rows = [("image", [_image(records, example, change) for change in changes])]
    rows += [(_wrapped(name), [_map(example.maps[name, change]) for change in changes]) for name in records.methods]
    title = f"Image {example.number}, {example.label}, under untargeted FGSM"
    columns = ["clean", *(f"epsilon {epsilon:g}" for epsilon in records.settings.epsilons)]
    return grid(title, columns, rows, _NOTE, size=1.05)


def _image(records: SimilarityRecords, example: Example, change: Change) -> GridCell:
    before, after = example.predictions[CLEAN], example.predictions[change]
    return GridCell(example.images[change], records.classes[after], warns=after != before)


def _map(values: Tensor) -> GridCell:
    """Return a map scaled by its own maximum, on a scale that is symmetric where it has a sign."""
    most = values.abs().max().item()
    scaled = values / (most or 1.0)
    if scaled.min() < 0:
        return GridCell(scaled, f"{most:.2g}", low=-1.0, high=1.0, colours="RdBu_r")
    return GridCell(scaled, f"{most:.2g}", colours="viridis")


def _wrapped(name: str) -> str:
    """Return a method's name in lines as short as a cell is high."""
    return name.replace("_", "\n", 1).replace("_", " ")
