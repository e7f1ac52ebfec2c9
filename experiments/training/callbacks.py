"""Callbacks of a fit: metrics of a retraining round, lines of progress, a file of predictions, a panel of maps."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor
from torchvision.utils import make_grid

from attacks import Attack
from data import ImageData, Pairs, WhiteBoxData
from data.pairs import predict
from detectors import Classifier, Detector
from detectors.calibration import threshold
from detectors.scoring import clean_scores
from experiments.training.tensorboard import tensorboard_loggers
from saliency import SaliencyModel
from saliency.files import replacing

RATE: Final = 0.05
"""False-positive rate of the threshold."""


class RoundMetrics(lightning.Callback):
    """Logs four shares after each validation of a detector under an attack that sees it, of all ranks together.

    - `round/classifier_accuracy_under_attack`: share of the attacked images that the classifier gets right;
    - `round/detector_accuracy`: balanced accuracy at probability .5, clean and attacked images;
    - `round/sr_at_5`: of the images classified right before, the share that is misclassified under attack and accepted
      at a false-positive rate of 5 %;
    - `round/clean_false_positive_rate`: share of the clean images that this threshold rejects.

    The threshold is computed from the clean calibration images before each validation. With too few images for it the
    last two are left out.
    """

    def __init__(self) -> None:
        self._threshold: float | None = None
        self._counts: dict[str, Tensor] = {}

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Compute the threshold from the detector's current weights."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(pl_module, Detector) or not isinstance(data, WhiteBoxData):
            return
        self._counts = {}
        with trainer.precision_plugin.forward_context():
            clean = clean_scores(pl_module, data.calibration_dataloader(), pl_module.device)
        self._threshold = threshold(clean.float().sort().values, RATE)

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,  # noqa: ARG002 - Lightning's
        dataloader_idx: int = 0,  # noqa: ARG002 - Lightning's
    ) -> None:
        """Count the images of a batch of this rank."""
        data = trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(pl_module, Detector) or not isinstance(data, WhiteBoxData):
            return
        with trainer.precision_plugin.forward_context():
            scores = outputs if isinstance(outputs, Tensor) else pl_module.batch_scores(batch)
        for name, count in counts(batch, scores.float(), pl_module.classifier, self._threshold).items():
            self._counts[name] = self._counts.get(name, 0) + count

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log the shares; one of no images is left out."""
        if self._counts:
            totals = trainer.strategy.reduce(torch.stack(list(self._counts.values())), reduce_op="sum").tolist()
            shares = {f"round/{name}": hits / of for name, (hits, of) in zip(self._counts, totals, strict=True) if of}
            pl_module.log_dict(shares, sync_dist=True)


def counts(pairs: Pairs, scores: Tensor, classifier: Classifier, limit: float | None) -> dict[str, Tensor]:
    """Return the two counts whose ratio each share is, (2,), by the name of the share; see `RoundMetrics`.

    Args:
        pairs: N clean images and their adversarial images.
        scores: (2N,) of the detector.
        classifier: On their device.
        limit: The threshold; None: there is none, and the shares at it are left out.
    """
    count = len(scores) // 2
    clean, attacked = scores[:count], scores[count:]
    right_before = (pairs.successful | pairs.failed)[:count]
    right = predict(classifier, pairs.images[count:]) == pairs.labels[count:]
    images = torch.full_like(pairs.labels[0], count)
    ratios = {
        "classifier_accuracy_under_attack": (right.sum(), images),
        "detector_accuracy": ((clean <= 0).sum() + (attacked > 0).sum(), 2 * images),
    }
    if limit is not None:
        ratios["sr_at_5"] = ((pairs.successful[:count] & (attacked <= limit)).sum(), right_before.sum())
        ratios["clean_false_positive_rate"] = ((clean > limit).sum(), images)
    return {name: torch.stack(ratio) for name, ratio in ratios.items()}


_MAIN: Final = (
    *("round/sr_at_5", "validation/auroc", "validation/accuracy", "validation/exists_accuracy"),
    *("validation/kept_accuracy", "validation/loss", "train/loss"),
)
"""Metrics that a line of progress shows: the first of them that was logged."""


class EpochLines(lightning.Callback):
    """Prints a line after each epoch: its number, the main metric and the seconds; for output that is no terminal.

    Args:
        title: Before each line.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._start = 0.0

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Start the clock."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Print the line."""
        metrics, last = trainer.callback_metrics, trainer.max_epochs
        shown = [f"{name} {float(metrics[name]):.3f}" for name in _MAIN if name in metrics][:1]
        of = f"/{last}" if last is not None and last > 0 else ""
        parts = [f"epoch {trainer.current_epoch + 1}{of}", *shown, f"{time.perf_counter() - self._start:.1f} s"]
        if trainer.is_global_zero:
            sys.stdout.write(f"{self.title}: {', '.join(parts)}\n")
            sys.stdout.flush()


class PredictionFile(BasePredictionWriter):
    """Writes every batch's predictions, joined, to `predictions.npz` in the trainer's root folder."""

    def __init__(self) -> None:
        super().__init__(write_interval="epoch")

    def write_on_epoch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,  # noqa: ARG002 - Lightning's signature
        predictions: Sequence[Any],
        batch_indices: Sequence[Any],  # noqa: ARG002
    ) -> None:
        """Write one array per name that `predict_step` returns; several processes write one file each."""
        if not predictions:
            return
        rank = f"_rank{trainer.global_rank}" if trainer.world_size > 1 else ""
        path = Path(trainer.default_root_dir) / f"predictions{rank}.npz"
        arrays = {name: torch.cat([batch[name] for batch in predictions]).cpu().numpy() for name in predictions[0]}
        with replacing(path) as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        lightning.pytorch.utilities.rank_zero_info(f"predictions: {path} ({', '.join(arrays)})")


_SHOWN_SIZE = 96
"""Small images are enlarged by a whole factor, up to this side in pixels, without smoothing."""


class MapPanel(lightning.Callback):
    """Shows, after each validation, clean and adversarial images with the maps of their predicted classes.

    Args:
        attack: Makes the adversarial images, on the saliency model's classifier.
        count: How many images.
    """

    def __init__(self, attack: Attack, count: int = 8) -> None:
        self.attack = attack
        self.count = count

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log the grid to TensorBoard as `maps/clean_map_adversarial_map`: four rows in this order."""
        loggers, data = tensorboard_loggers(trainer), trainer.datamodule  # type: ignore[attr-defined]
        if trainer.sanity_checking or not trainer.is_global_zero or not loggers:
            return
        if not isinstance(pl_module, SaliencyModel) or not isinstance(data, ImageData):
            return
        held_out = data.split("classifier_train_validation")
        positions = list(range(min(self.count, len(held_out))))
        images = held_out.__getitems__(positions).images.to(pl_module.device)
        grid = map_grid(pl_module, images, self.attack)
        for logger in loggers:
            logger.experiment.add_image("maps/clean_map_adversarial_map", grid, trainer.current_epoch)


def map_grid(saliency: SaliencyModel, images: Tensor, attack: Attack) -> Tensor:
    """Return a picture (3, height, width) in [0, 1]: clean images, their maps, adversarial images, their maps.

    Args:
        saliency: The model; it keeps its mode, train or eval.
        images: (N, C, H, W) in [0, 1], clean.
        attack: Called on the saliency model's classifier.
    """
    classifier = saliency.classifier
    adversarial = attack(classifier, images)
    with torch.no_grad():
        training = saliency.training
        saliency.eval()
        maps = [saliency(classifier, batch).expand(-1, 3, -1, -1) for batch in (images, adversarial)]
        saliency.train(training)
    rows = [images.expand(-1, 3, -1, -1), maps[0], adversarial.expand(-1, 3, -1, -1), maps[1]]
    factor = max(1, _SHOWN_SIZE // images.shape[-1])
    enlarged = torch.cat(rows).repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    grid: Tensor = make_grid(enlarged, nrow=len(images), padding=2, pad_value=0.5)
    return grid
