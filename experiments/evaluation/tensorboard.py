"""What an evaluation shows in TensorBoard: ROC curves, histograms of scores, and every chart and grid."""

import io
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from detectors import metrics
from experiments.results.charts import png, style
from experiments.results.result import Result
from experiments.study.contenders import Contender
from experiments.study.study import Study

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER: Final = "tensorboard"
"""In the report folder."""

_FREE: Final = "training-free"

Curve = tuple[Tensor, Tensor]
"""False- and true-positive rates (k,)."""


def write_scores(study: Study) -> Path:
    """Write ROC curves (a chart per attack, all pairs) and histograms of scores (of clean and attacked images).

    Args:
        study: Gives the scores.

    Returns:
        The folder of the event file, RUN/report/tensorboard/scores.

    Raises:
        FileNotFoundError: If a detector is missing; says which command makes it.
    """
    with _replacing(study.run.report / FOLDER / "scores") as (folder, writer):
        clean = {}
        for each in study.progress.track(study.contenders, description="scores of clean images"):
            clean[_name(each)] = study.images.scores(each.module)
            _histogram(writer, each, "clean", clean[_name(each)])
        for attack in study.attacks:
            under = study.under(attack)
            attacked = {}
            for each in study.progress.track(study.contenders, description=f"scores under {attack}"):
                attacked[_name(each)] = study.images.scores(each.module, under)
                _histogram(writer, each, attack, attacked[_name(each)])
            curves = {name: metrics.roc(clean[name], scores) for name, scores in attacked.items()}
            _chart(writer, f"roc/{attack}", roc_curves(f"ROC curves, tested on {attack}", study.contenders, curves))
    return folder


def write_charts(report: Path, result: Result) -> Path | None:
    """Write the charts and grids of a protocol.

    Args:
        report: The run's report folder.
        result: The protocol's result.

    Returns:
        The folder of the event file, RUN/report/tensorboard/<protocol>; None if there are none.
    """
    if not result.figures:
        return None
    with _replacing(report / FOLDER / result.protocol) as (folder, writer):
        for name, chart in result.figures.items():
            _chart(writer, f"{result.protocol}/{name or 'overview'}", chart)
    return folder


@contextmanager
def _replacing(folder: Path) -> Iterator[tuple[Path, "SummaryWriter"]]:
    """Give a writer of event files; those of an evaluation before are replaced when all are written."""
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415

    temporary = folder.parent.with_name(f".{folder.parent.name}.{os.getpid()}.tmp")
    try:
        writer = SummaryWriter(str(temporary))
        yield folder, writer
        writer.close()
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _histogram(writer: "SummaryWriter", contender: Contender, images: str, scores: Tensor) -> None:
    writer.add_histogram(f"scores_{_name(contender)}/{images}", scores, 0)


def _chart(writer: "SummaryWriter", tag: str, contents: bytes) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"))
    writer.add_image(tag, pixels, 0, dataformats="HWC")


def _name(contender: Contender) -> str:
    if contender.trained_on is None:
        return contender.name
    return f"{contender.name}_on_{contender.trained_on}_seed_{contender.seed}"


def roc_curves(title: str, contenders: Sequence[Contender], curves: Mapping[str, Curve | None]) -> bytes:
    """Return a PNG: an axis per trained detector with a line per attack and seed of its training, one for the others.

    Args:
        title: Over all.
        contenders: The detectors.
        curves: See `detectors.metrics.roc`; by the detector's name, attack and seed of training. Those that are
            None are left out.
    """
    groups: dict[str, list[Contender]] = {}
    for each in contenders:
        groups.setdefault(_FREE if each.trained_on is None else each.name, []).append(each)
    figure = Figure(figsize=(2.9 * len(groups), 3.3), layout="constrained")
    axes = figure.subplots(1, len(groups), squeeze=False)[0]
    for axis, (name, members) in zip(axes, groups.items(), strict=True):
        _draw(axis, members, curves, None if name == _FREE else "trained on")
        axis.set_title(name)
        axis.set_xlabel("false positives")
    axes[0].set_ylabel("true positives")
    figure.suptitle(title)
    return png(figure)


def _draw(axis: Axes, members: Sequence[Contender], curves: Mapping[str, Curve | None], title: str | None) -> None:
    labels = list(dict.fromkeys(each.trained_on or each.name for each in members))
    drawn = set()
    for each in members:
        label = each.trained_on or each.name
        curve = curves[_name(each)]
        if curve is None:
            continue
        false, true = curve
        shown = "_" if label in drawn else label  # matplotlib leaves such a label out of the legend
        drawn.add(label)
        colour = style(labels.index(label))["color"]
        axis.step(false.numpy(), true.numpy(), where="post", color=colour, linewidth=1.2, label=shown)
    axis.plot([0, 1], [0, 1], color="gray", linestyle=":", linewidth=0.8)
    axis.set_aspect("equal")
    axis.legend(fontsize="x-small", loc="lower right", title=title, title_fontsize="x-small")
