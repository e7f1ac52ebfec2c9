"""The paper's Figures 1 to 4 on this study's images."""

from collections.abc import Mapping
from typing import Final

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from experiments.explanation.recover.records import (
    LEARNT,
    PERTURBATION,
    RANDOM,
    THREE,
    UNIONS,
    Attempts,
    RecoverRecords,
)
from experiments.results.charts import COLOURS, png
from experiments.results.grids import Panel, difference, grid

EXAMPLES: Final = 5
"""Adversarial images shown, each of another photograph."""

_SEGMENTED: Final = 3
"""Photographs whose regions are shown."""

_COLUMNS: Final = 10
"""Regions of a photograph that are shown."""


def figures(records: RecoverRecords) -> dict[str, bytes]:
    """Return the figures: curves over the unions, attacks, regions, and explanations."""
    return {
        "": _curves(records),
        "attacks": _attacks(records.attempts, records.examples),
        "regions": _regions(records.attempts),
        "explanations": _explanations(records),
    }


def _attacks(attempts: Attempts, examples: Tensor) -> bytes:
    rows = []
    for row in examples.tolist():
        image = int(attempts.sources[row])
        change = attempts.adversarial[row] - attempts.images[image]
        panels = [
            _original(attempts, image),
            _adversarial(attempts, row),
            difference(change, f"at most {change.abs().max():.2f}"),
            _mask(attempts.regions[row], " of the pixels"),
        ]
        rows.append((_label(attempts, image), panels))
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
        empty = [Panel(None)] * (_COLUMNS - len(tries))
        colours = Panel((segments % 20)[None], f"{int(segments.max()) + 1} segments", high=19, colours="tab20")
        rows.append((_label(attempts, image), [colours, *(_mask(attempts.region[row]) for row in tries), *empty]))
        attacked = [_attack(attempts, row) for row in tries]
        rows.append(("attacks", [_original(attempts, image), *attacked, *empty]))
    columns = ["", *(f"region {number}" for number in range(1, _COLUMNS + 1))]
    note = (
        "Felzenszwalb's segments and the largest of them, with their share of the pixels; below, what the attack on "
        "each makes of the image. Segments below 1 % or above 50 % of the pixels are not attacked."
    )
    return grid("Segments, regions, and an attack on each", columns, rows, note, size=1.1)


def _attack(attempts: Attempts, row: int) -> Panel:
    if not attempts.succeeded[row]:
        return Panel(None, "no success,\ndiscarded")
    return _adversarial(attempts, int(attempts.succeeded[:row].sum()))


def _explanations(records: RecoverRecords) -> bytes:
    """Return explanations of one size, white on black: that of the union nearest to the region's."""
    attempts, rows = records.attempts, []
    for place, row in enumerate(records.examples.tolist()):
        region = attempts.regions[row]
        union = int((records.sizes[row] - region.sum()).abs().argmin())
        panels = [_adversarial(attempts, row), Panel(region[None].float(), "ground truth")]
        for method in records.methods.values():
            mask = torch.zeros(region.numel())
            mask[method.shown[place, : int(records.sizes[row, union])]] = 1
            panels.append(Panel(mask.view(1, *region.shape), f"J = {method.jaccard[row, union]:.2f}"))
        rows.append((f"n = {union + 1}", panels))
    columns = ["adversarial", "region", *(name.replace("_", " ") for name in records.methods)]
    note = (
        "All explanations of a row have the same number of white pixels, that of the union of LIME's n best "
        f"superpixels which is nearest to the region's size. J: Jaccard index. {PERTURBATION}: the change itself."
    )
    return grid("Partial explanations of adversarial images", columns, rows, note, size=1.05)


def _curves(records: RecoverRecords) -> bytes:
    """Return Jaccard index and likeness over the unions, of one example and as means with their intervals."""
    example = int(records.examples[0])
    figure = Figure(figsize=(12.5, 8), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey="row")
    for line, (measure, label) in zip(axes, {"jaccard": "Jaccard index", "likeness": "likeness"}.items(), strict=True):
        for name, method in records.methods.items():
            values: Tensor = getattr(method, measure)
            style = _style(name, list(records.methods))
            line[0].plot(range(1, UNIONS + 1), values[example].tolist(), label=name, **style)
            _mean(line[1], records, values, name, style)
        line[0].set_ylabel(label)
    axes[0, 0].set_title("one adversarial image", fontsize="medium")
    axes[0, 1].set_title(f"mean of {records.explanations}, with 95 % intervals", fontsize="medium")
    for axis in axes.flat:
        axis.grid(color="0.92")
        axis.set_xticks([1, 5, 10, 15, UNIONS])
    for axis in axes[1]:
        axis.set_xlabel("superpixels n in LIME's union, whose size all explanations have")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize="small")
    figure.suptitle("Recovery of attacked regions over the size of the explanation")
    return png(figure)


def _mean(axis: Axes, records: RecoverRecords, values: Tensor, name: str, style: Mapping[str, object]) -> None:
    means = [records.mean(column) for column in values.T]
    places = range(1, UNIONS + 1)
    axis.plot(places, [mean.value for mean in means], label=name, **style)  # type: ignore[arg-type]
    if name in {*_PLAIN, *_BOLD}:
        low, high = [mean.low for mean in means], [mean.high for mean in means]
        axis.fill_between(places, low, high, color=str(style["color"]), alpha=0.15, linewidth=0)


_PLAIN: Final = {PERTURBATION: "0.1", RANDOM: "0.55"}
_BOLD: Final = (*THREE, LEARNT)


def _style(name: str, names: list[str]) -> dict[str, object]:
    """Return how a method is drawn: the paper's and the learnt model thick, controls grey and dashed."""
    if name in _PLAIN:
        return {"color": _PLAIN[name], "linestyle": "--", "linewidth": 1.8}
    if name in _BOLD:
        return {"color": COLOURS[_BOLD.index(name)], "linewidth": 2.4}
    thin = [other for other in names if other not in {*_BOLD, *_PLAIN}]
    number = thin.index(name)
    return {
        "color": COLOURS[number % len(COLOURS)],
        "linewidth": 1.0,
        "linestyle": (":", "-.")[number // len(COLOURS) % 2],
        "marker": "osD^v"[number % 5],
        "markersize": 3,
    }


def _original(attempts: Attempts, image: int) -> Panel:
    logits = attempts.clean_logits[image]
    wrong = int(logits.argmax()) != int(attempts.labels[image])
    return Panel(attempts.images[image], _predicted(attempts, logits), warns=wrong)


def _adversarial(attempts: Attempts, row: int) -> Panel:
    return Panel(attempts.adversarial[row], _predicted(attempts, attempts.logits[row]), warns=True)


def _mask(region: Tensor, words: str = "") -> Panel:
    return Panel(region[None].float(), f"{region.float().mean().item():.1%}{words}")


def _predicted(attempts: Attempts, logits: Tensor) -> str:
    predicted = int(logits.argmax())
    return f"{attempts.classes[predicted]} ({logits.softmax(0)[predicted]:.3f})"


def _label(attempts: Attempts, image: int) -> str:
    return f"image {int(attempts.rows[image])}"
