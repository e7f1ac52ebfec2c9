"""Grids of the paper's Figures 1 to 3: attacks, their regions, and explanations."""

from typing import Final

import torch
from torch import Tensor

from experiments.explanation.recover.overlaps import Attempts, Overlaps
from experiments.explanation.recover.records import PERTURBATION
from experiments.results.grids import GridCell, difference, grid

EXAMPLES: Final = 5
"""Adversarial images shown, each of another photograph."""

_SEGMENTED: Final = 3
"""Photographs whose regions are shown."""

_COLUMNS: Final = 10
"""Regions of a photograph that are shown."""


def grids(overlaps: Overlaps) -> dict[str, bytes]:
    """Return grids of attacks, of regions, and of explanations."""
    return {
        "attacks": _attacks(overlaps.attempts, overlaps.examples),
        "regions": _regions(overlaps.attempts),
        "explanations": _explanations(overlaps),
    }


def _attacks(attempts: Attempts, examples: Tensor) -> bytes:
    rows = []
    for row in examples.tolist():
        image = int(attempts.sources[row])
        change = attempts.adversarial[row] - attempts.images[image]
        cells = [
            _original(attempts, image),
            _adversarial(attempts, row),
            difference(change, f"at most {change.abs().max():.2f}"),
            _mask(attempts.regions[row], " of the pixels"),
        ]
        rows.append((_label(attempts, image), cells))
    note = (
        "Under each image the predicted class with its softmax, red where it is wrong; the difference is stretched to "
        "its largest value."
    )
    return grid("Localized attacks", ["original", "adversarial", "difference", "region"], rows, note)


def _regions(attempts: Attempts) -> bytes:
    rows = []
    for image in torch.unique(attempts.sources)[:_SEGMENTED].tolist():
        segments = attempts.segments[image]
        tries = (attempts.image == image).nonzero().flatten()[:_COLUMNS].tolist()
        empty = [GridCell(None)] * (_COLUMNS - len(tries))
        colours = GridCell((segments % 20)[None], f"{int(segments.max()) + 1} segments", high=19, colours="tab20")
        rows.append((_label(attempts, image), [colours, *(_mask(attempts.region[row]) for row in tries), *empty]))
        attacked = [_attack(attempts, row) for row in tries]
        rows.append(("attacks", [_original(attempts, image), *attacked, *empty]))
    columns = ["", *(f"region {number}" for number in range(1, _COLUMNS + 1))]
    note = (
        "Felzenszwalb's segments, and the largest of them with their share of the pixels; below each, the image "
        "attacked there. Segments below 1 % or above 50 % of the pixels are not attacked."
    )
    return grid("Segments, regions, and an attack on each", columns, rows, note, size=1.1)


def _attack(attempts: Attempts, row: int) -> GridCell:
    if not attempts.succeeded[row]:
        return GridCell(None, "no success,\ndiscarded")
    return _adversarial(attempts, int(attempts.succeeded[:row].sum()))


def _explanations(overlaps: Overlaps) -> bytes:
    """Return explanations, white on black, as large as the union whose size is nearest to the region's."""
    attempts, rows = overlaps.attempts, []
    for place, row in enumerate(overlaps.examples.tolist()):
        region = attempts.regions[row]
        union = int((overlaps.sizes[row] - region.sum()).abs().argmin())
        cells = [_adversarial(attempts, row), GridCell(region[None].float(), "ground truth")]
        for method in overlaps.methods.values():
            mask = torch.zeros(region.numel())
            mask[method.shown[place, : int(overlaps.sizes[row, union])]] = 1
            cells.append(GridCell(mask.view(1, *region.shape), f"J = {method.jaccard[row, union]:.2f}"))
        rows.append((f"n = {union + 1}", cells))
    columns = ["adversarial", "region", *(name.replace("_", " ") for name in overlaps.methods)]
    note = (
        "All explanations of a row have equally many white pixels: as many as the union of LIME's n best superpixels, "
        f"n being the number that comes nearest to the region's size. J: Jaccard index. {PERTURBATION}: the change "
        "itself."
    )
    return grid("Partial explanations of adversarial images", columns, rows, note, size=1.05)


def _original(attempts: Attempts, image: int) -> GridCell:
    logits = attempts.clean_logits[image]
    wrong = int(logits.argmax()) != int(attempts.labels[image])
    return GridCell(attempts.images[image], _predicted(attempts, logits), warns=wrong)


def _adversarial(attempts: Attempts, row: int) -> GridCell:
    return GridCell(attempts.adversarial[row], _predicted(attempts, attempts.logits[row]), warns=True)


def _mask(region: Tensor, words: str = "") -> GridCell:
    return GridCell(region[None].float(), f"{region.float().mean().item():.1%}{words}")


def _predicted(attempts: Attempts, logits: Tensor) -> str:
    predicted = int(logits.argmax())
    return f"{attempts.classes[predicted]} ({logits.softmax(0)[predicted]:.3f})"


def _label(attempts: Attempts, image: int) -> str:
    return f"image {int(attempts.rows[image])}"
