"""What a round of retraining did to a detector, for TensorBoard."""

from typing import Any, Final

import lightning
import torch
from torch import Tensor

from data import Pairs, WhiteBoxData
from data.pairs import predict
from detectors import Classifier, Detector
from detectors.calibration import threshold
from experiments.scoring import clean_scores

RATE: Final = 0.05
"""False-positive rate of the threshold."""


class RoundMetrics(lightning.Callback):
    """Logs four shares after each validation of a detector under an attack that sees it, of all ranks together.

    - `round/classifier_accuracy_under_attack`: share of the attacked images that the classifier gets right;
    - `round/detector_accuracy`: balanced accuracy at probability .5, clean and attacked images;
    - `round/sr_at_5`: of the images classified right before, the share that is misclassified under attack with a score
      that the threshold at a false-positive rate of 5 % lets pass;
    - `round/clean_false_positive_rate`: share of the clean images that this threshold rejects.

    The threshold is that of the live detector on the clean calibration images, made anew before each validation; with
    too few images for it the last two are left out.
    """

    def __init__(self) -> None:
        self._threshold: float | None = None
        self._counts: dict[str, Tensor] = {}

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Find the threshold of the detector as it is now."""
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
            scores = outputs if isinstance(outputs, Tensor) else pl_module.judge(batch)
        for name, count in counts(batch, scores.float(), pl_module.classifier, self._threshold).items():
            self._counts[name] = self._counts.get(name, 0) + count

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log the shares."""
        if not self._counts:
            return
        names = list(self._counts)
        local = torch.stack([self._counts[name] for name in names])
        total = trainer.strategy.reduce(local, reduce_op="sum")
        found = shares(dict(zip(names, total.tolist(), strict=True)))
        pl_module.log_dict({f"round/{name}": value for name, value in found.items()}, sync_dist=True)


def counts(pairs: Pairs, scores: Tensor, classifier: Classifier, limit: float | None) -> dict[str, Tensor]:
    """Return numbers of images, each a scalar tensor; those at the threshold only where there is one.

    Args:
        pairs: N clean images and their twins.
        scores: (2N,) of the detector.
        classifier: On their device.
        limit: The threshold; None: there is none.
    """
    count = len(scores) // 2
    clean, attacked = scores[:count], scores[count:]
    right_before = (pairs.successful | pairs.failed)[:count]
    found = {
        "images": torch.full_like(pairs.labels[0], count),
        "right": (predict(classifier, pairs.images[count:]) == pairs.labels[count:]).sum(),
        "told": (clean <= 0).sum() + (attacked > 0).sum(),
        "right_before": right_before.sum(),
    }
    if limit is not None:
        found["evaded"] = (pairs.successful[:count] & (attacked <= limit)).sum()
        found["rejected"] = (clean > limit).sum()
    return found


def shares(total: dict[str, float]) -> dict[str, float]:
    """Return what is logged, from the numbers of all ranks.

    Args:
        total: See `counts`; with at least one image.
    """
    images, before = total["images"], total["right_before"]
    found = {
        "classifier_accuracy_under_attack": total["right"] / images,
        "detector_accuracy": total["told"] / (2 * images),
    }
    if "evaded" in total and before:
        found["sr_at_5"] = total["evaded"] / before
    if "rejected" in total:
        found["clean_false_positive_rate"] = total["rejected"] / images
    return found
