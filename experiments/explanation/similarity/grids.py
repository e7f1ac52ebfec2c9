"""The images shown, before and after the untargeted attack, over the maps of every method."""

from torch import Tensor

from experiments.explanation.similarity.changes import CLEAN, Change
from experiments.explanation.similarity.records import Example, SimilarityRecords
from experiments.results.grids import GridCell, grid

_NOTE = (
    "Under an image stands its predicted class, red where it is not the clean image's. Each map is of that class and "
    "scaled by its largest absolute value, which stands under it. With sign, blue is below 0 and red above; without, "
    "dark is 0."
)


def grids(records: SimilarityRecords) -> dict[str, bytes]:
    """Return a grid for each image shown."""
    return {f"maps_{place}": _grid(records, example) for place, example in enumerate(records.examples, 1)}


def _grid(records: SimilarityRecords, example: Example) -> bytes:
    changes = [CLEAN, *records.settings.untargeted]
    rows = [("image", [_image(records, example, change) for change in changes])]
    rows += [(_wrapped(name), [_map(example.maps[name, change]) for change in changes]) for name in records.methods]
    title = f"Image {example.number}, {example.label}, under untargeted FGSM"
    columns = ["clean", *(f"epsilon {epsilon:g}" for epsilon in records.settings.epsilons)]
    return grid(title, columns, rows, _NOTE, size=1.05)


def _image(records: SimilarityRecords, example: Example, change: Change) -> GridCell:
    before, after = (int(records.predictions[kind][example.row]) for kind in (CLEAN, change))
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
