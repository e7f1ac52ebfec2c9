"""The steps of an image classifier: the saliency model's encoder and the attacked classifier share them."""

from typing import Any

import torchmetrics
from torch import Tensor
from torch.nn import functional

from saliency.training import Schedule, Trainable


class ImageClassifier(Trainable):
    """A LightningModule whose `forward` gives logits (N, K) of images (N, C, H, W) in [0, 1].

    Args:
        shape: (C, H, W) of the images.
        classes: Number of classes K.
        learning_rate: Of Adam.
        schedule: See `Trainable`.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, learning_rate: float, schedule: Schedule) -> None:
        super().__init__()
        self.shape = shape
        self.classes = classes
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.validation_accuracy = _accuracy(classes)
        self.test_accuracy = _accuracy(classes)

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:  # noqa: ARG002 - Lightning's
        """Return the mean cross entropy of (images, labels, ...)."""
        images, labels, *_ = batch
        logits = self(images)
        loss = functional.cross_entropy(logits, labels)
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/accuracy", (logits.argmax(1) == labels).float().mean())
        return loss

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:  # noqa: ARG002
        """Log loss and accuracy."""
        images, labels, *_ = batch
        logits = self(images)
        self.validation_accuracy(logits, labels)
        self.log("validation/loss", functional.cross_entropy(logits, labels), sync_dist=True)
        self.log("validation/accuracy", self.validation_accuracy)

    def test_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:  # noqa: ARG002
        """Log the accuracy."""
        images, labels, *_ = batch
        self.test_accuracy(self(images), labels)
        self.log("test/accuracy", self.test_accuracy)

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Any]:  # noqa: ARG002
        """Return labels, predictions (N,) and logits (N, K)."""
        images, labels, *_ = batch
        logits = self(images)
        return {"labels": labels, "predictions": logits.argmax(1), "logits": logits}


def _accuracy(classes: int) -> torchmetrics.Metric:
    return torchmetrics.classification.MulticlassAccuracy(classes, average="micro")
