"""TensorBoard's log of a fit: scalars named by stage, and a page of charts with training and validation together."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import lightning
from lightning.pytorch.loggers import TensorBoardLogger

from data import WhiteBoxData
from detectors import Classifier, Detector
from saliency import Encoder, SaliencyModel, Selector

_STAGES: Final = {
    Detector: "detector",
    Classifier: "classifier",
    Encoder: "encoder",
    Selector: "selector",
    SaliencyModel: "mask",
}

_SAME: Final = {"total": "loss"}
"""Names of a training scalar whose validation scalar has another one."""


def stage_of(model: lightning.LightningModule, data: Any) -> str:
    """Return the name of a fit's stage, before all its scalars; a model of your own goes by its class."""
    if isinstance(data, WhiteBoxData):
        return "retraining"
    named = (name for kind, name in _STAGES.items() if isinstance(model, kind))
    return next(named, type(model).__name__.lower())


class StageLogger(TensorBoardLogger):
    """Writes into a fit's own folder; `validation/loss` becomes `classifier/validation/loss`.

    Monitors go on to call it `validation/loss`: the names are TensorBoard's alone.

    Args:
        folder: The fit's folder.
        stage: See `stage_of`.
    """

    LOGGER_JOIN_CHAR = "/"

    def __init__(self, folder: Path, stage: str) -> None:
        super().__init__(folder, name="", version="", default_hp_metric=False, prefix=stage)
        self.stage = stage


def tensorboard_loggers(trainer: lightning.Trainer) -> list[TensorBoardLogger]:
    """Return the trainer's loggers that take pictures; there is none for CSV files."""
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def stage_loggers(trainer: lightning.Trainer) -> list[StageLogger]:
    """Return the trainer's loggers of this kind: none where the user named others."""
    return [logger for logger in trainer.loggers if isinstance(logger, StageLogger)]


class ChartLayout(lightning.Callback):
    """Lays out TensorBoard's custom scalars after the first epoch, from the metrics that were logged."""

    def __init__(self) -> None:
        self._done = False

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Write the layout once in a fit."""
        for logger in stage_loggers(trainer) if trainer.is_global_zero and not self._done else ():
            logger.experiment.add_custom_scalars({logger.stage: charts(logger.stage, trainer.callback_metrics)})
        self._done = True


def charts(stage: str, metrics: Iterable[str]) -> dict[str, list[Any]]:
    """Return a chart of each quantity by its name, as `SummaryWriter.add_custom_scalars` takes it.

    Args:
        stage: Before the names of all scalars.
        metrics: Names such as train/loss and validation/loss, which share a chart.
    """
    together: dict[str, list[str]] = {}
    for metric in sorted(metrics):
        what = metric.partition("/")[2] or metric
        together.setdefault(_SAME.get(what, what), []).append(f"{stage}/{metric}$")  # a pattern
    return {what: ["Multiline", tags] for what, tags in sorted(together.items())}
