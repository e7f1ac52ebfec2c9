"""What an evaluation shows in TensorBoard: a table of detectors, curves, histograms, charts and grids, a summary."""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from detectors import metrics
from experiments.results.charts import GUIDE, png, style
from experiments.results.event_files import code, replacing_events
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


SHOWN: Final = {"auroc": "AUROC", "tpr_at_5_fpr": "TPR at 5 % FPR", "success_at_5_fpr": "SR@5"}
"""Fields of a detection record that the table of detectors shows, and their names there."""


def write_scores(study: Study, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write the table of detectors, ROC and PR curves of all pairs, and histograms of scores.

    Each detector, attack and seed of its training is a run of TensorBoard.

    Args:
        study: Gives the scores.
        rows: The records of the detectors, with the fields of `SHOWN`.

    Returns:
        The folder of the event files, RUN/report/tensorboard/scores.
    """
    with replacing_events(study.run.report / FOLDER / "scores") as run:
        clean = {}
        for contender in study.progress.track(study.contenders, description="scores of clean images"):
            _table_row(run(_place(contender)), contender, rows)
            clean[_place(contender)] = study.images.scores(contender.module)
            _histogram(run(_place(contender)), contender, "clean", clean[_place(contender)])
        for attack in study.attacks:
            under, curves = study.under(attack), {}
            for contender in study.progress.track(study.contenders, description=f"scores under {attack}"):
                place, attacked = _place(contender), study.images.scores(contender.module, under)
                _histogram(run(place), contender, attack, attacked)
                _pr_curve(run(place), attack, clean[place], attacked)
                curves[place] = metrics.roc(clean[place], attacked)
            _chart(run(""), f"roc/{attack}", roc_curves(f"ROC curves, tested on {attack}", study.contenders, curves))
    return study.run.report / FOLDER / "scores"


def write_summary(report: Path, statements: Mapping[str, Iterable[str]], config: str) -> None:
    """Write the sentences on top of the report, and the pipeline file, for TensorBoard's text page.

    Args:
        report: The run's report folder.
        statements: Sentences by heading.
        config: The pipeline file with all defaults.
    """
    parts = [
        f"## {heading}\n\n" + "".join(f"- {sentence}\n" for sentence in said) for heading, said in statements.items()
    ]
    with replacing_events(report / FOLDER / "summary") as run:
        run("").add_text("report/summary", "\n".join(parts), 0)
        run("").add_text("report/config", code(config), 0)


def write_charts(report: Path, result: Result) -> Path | None:
    """Write the charts and grids of a protocol.

    Returns:
        The folder of the event file, RUN/report/tensorboard/<protocol>; None if there are none.
    """
    if not result.figures:
        return None
    with replacing_events(report / FOLDER / result.protocol) as run:
        for name, chart in result.figures.items():
            _chart(run(""), f"{result.protocol}/{name or 'overview'}", chart)
    return report / FOLDER / result.protocol


def _table_row(writer: "SummaryWriter", contender: Contender, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a detector's row of the table: on each attack, and their mean where all are known."""
    from torch.utils.tensorboard.summary import hparams  # noqa: PLC0415

    key = (contender.name, contender.trained_on, contender.seed)
    mine = [row for row in rows if (row["detector"], row["trained_on"], row["seed"]) == key and row["subset"] == "all"]
    seed = "-" if contender.seed is None else str(contender.seed)
    about = {"detector": contender.name, "trained_on": contender.trained_on or _FREE, "seed": seed}
    _, start, end = hparams(about, {})  # type: ignore[no-untyped-call]
    for summary in (start, end):
        writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]  # noqa: SLF001
    for field, name in SHOWN.items():
        values = {f"on {row['tested_on']}": row[field] for row in mine}
        by_attack = {attack: value for attack, value in values.items() if value is not None}
        if by_attack and len(by_attack) == len(values):
            by_attack["mean"] = fmean(by_attack.values())
        for where, value in by_attack.items():
            writer.add_scalar(f"{where}/{name}", value, 0)


def _histogram(writer: "SummaryWriter", contender: Contender, images: str, scores: Tensor) -> None:
    writer.add_histogram(f"scores of {contender.name}/{images}", scores, 0)


def _pr_curve(writer: "SummaryWriter", attack: str, clean: Tensor, attacked: Tensor) -> None:
    """Write precision over recall; its thresholds are ranks in (0, 1), for scores may lie anywhere."""
    ranked = metrics.ranked(clean, attacked)
    if ranked is not None:
        ranks, targets = ranked
        writer.add_pr_curve(f"pr/{attack}", targets, ranks, 0)


def _chart(writer: "SummaryWriter", tag: str, contents: bytes) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"))
    writer.add_image(tag, pixels, 0, dataformats="HWC")


def _place(contender: Contender) -> str:
    """Return the name of a detector's run of TensorBoard, beneath that of the scores."""
    if contender.trained_on is None:
        return contender.name
    return f"{contender.name}/{contender.trained_on}/seed_{contender.seed}"


def roc_curves(title: str, contenders: Sequence[Contender], curves: Mapping[str, Curve | None]) -> bytes:
    """Return a PNG: an axis per trained detector with a line per attack and seed of its training, one for the others.

    Args:
        title: Title of the chart.
        contenders: The detectors.
        curves: See `detectors.metrics.roc`; by NAME/ATTACK/seed_SEED of a trained detector, or the name alone. Those
            that are None are left out.
    """
    groups: dict[str, list[Contender]] = {}
    for contender in contenders:
        groups.setdefault(_FREE if contender.trained_on is None else contender.name, []).append(contender)
    figure = Figure(figsize=(2.9 * len(groups), 3.3))  # a computed layout would take longer than the drawing
    edges = {"left": 0.6 / len(groups) / 2.9, "right": 1 - 0.1 / len(groups) / 2.9, "wspace": 0.2}
    axes = figure.subplots(1, len(groups), squeeze=False, gridspec_kw={**edges, "top": 0.84, "bottom": 0.14})[0]
    for axis, (name, members) in zip(axes, groups.items(), strict=True):
        _draw(axis, members, curves, None if name == _FREE else "trained on")
        axis.set_title(name)
        axis.set_xlabel("false positives")
    axes[0].set_ylabel("true positives")
    figure.suptitle(title)
    return png(figure)


def _draw(axis: Axes, members: Sequence[Contender], curves: Mapping[str, Curve | None], title: str | None) -> None:
    labels = list(dict.fromkeys(member.trained_on or member.name for member in members))
    drawn = set()
    for member in members:
        label = member.trained_on or member.name
        curve = curves[_place(member)]
        if curve is None:
            continue
        false, true = curve
        shown = "_" if label in drawn else label  # matplotlib leaves such a label out of the legend
        drawn.add(label)
        colour = style(labels.index(label))["color"]
        axis.step(false.numpy(), true.numpy(), where="post", color=colour, linewidth=1.2, label=shown)
    axis.plot([0, 1], [0, 1], color=GUIDE, linestyle=":", linewidth=0.8)
    axis.set_aspect("equal")
    axis.legend(fontsize="x-small", loc="lower right", title=title, title_fontsize="x-small")
