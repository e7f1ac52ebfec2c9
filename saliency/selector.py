"""Stages 1 and 2 of the learnt saliency model: the encoder, trained as a classifier, and the class selector."""

import torch
import torchmetrics
from torch import Generator, Tensor
from torch.nn import functional

from saliency.augmentation import Augmentation
from saliency.checkpoints import part
from saliency.training import ImageClassifier, Schedule, Trainable, frozen, seeded
from saliency.unet import ClassSelector, EncoderNetwork


class Encoder(ImageClassifier):
    """The encoder of the saliency U-Net, trained as a classifier of the data set, frozen afterwards.

    Args:
        shape: (C, H, W) of the images.
        classes: Number of classes.
        width: Channels of the first scale; the authors use 32 for CIFAR-10 and 64 for ASSIRA.
        learning_rate: Step size of Adam, above 0; the peak of a one-cycle schedule.
        schedule: constant or one-cycle.
        augmentation: How training images are changed at random: none, shift, or shift-flip.

    Reference: Dabkowski & Gal, arXiv 1705.07857, section 4.1.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        width: int = 16,
        learning_rate: float = 1e-2,
        schedule: Schedule = "one-cycle",
        augmentation: Augmentation = "none",
    ) -> None:
        super().__init__(shape, classes, learning_rate, schedule, augmentation)
        self.width = width
        self.network = EncoderNetwork(shape[0], classes, width).to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K) of images (N, C, H, W) in [0, 1]."""
        logits: Tensor = self.network(images)
        return logits


class Selector(Trainable):
    """Learns which class exists in an image, from the frozen encoder's deepest scale.

    Args:
        encoder: The trained encoder, or the path of its checkpoint.
        learning_rate: Step size of Adam, above 0.
        weight_decay: L2 penalty.
        fake_probability: Chance that the class asked for is absent from the image.

    Reference: Dabkowski & Gal, arXiv 1705.07857, section 4.1; numbers as in the authors' code.
    """

    def __init__(
        self,
        encoder: str | Encoder,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-4,
        fake_probability: float = 0.5,
    ) -> None:
        super().__init__()
        self.encoder = part(encoder, Encoder)
        self.shape, self.classes = self.encoder.shape, self.encoder.classes
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.fake_probability = fake_probability
        frozen(self.encoder)
        self.selector = ClassSelector(self.classes, 8 * self.encoder.width)
        self.validation_accuracy = torchmetrics.classification.BinaryAccuracy()
        self.test_accuracy = torchmetrics.classification.BinaryAccuracy()

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        """Return the logit (N,) of "this class exists in the image", of classes (N,) in images (N, C, H, W)."""
        return self.gate(self.encoder.network.scales(images), classes)[1]

    def gate(self, scales: list[Tensor], classes: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the scales with the deepest one gated by the class, and the existence logit (N,)."""
        *skips, deepest = scales
        gated, exists = self.selector(deepest, classes)
        return [*skips, gated], exists

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        """Return the mean cross entropy of existence, over true and fake classes."""
        logits, exists = self._ask(batch, self.step_generator(batch_idx))
        loss = functional.binary_cross_entropy_with_logits(logits, exists.float())
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        """Log the loss and the accuracy of the presence classifier."""
        logits, exists = self._ask(batch, seeded(0, batch_idx, device=self.device))
        self.validation_accuracy(logits, exists)
        loss = functional.binary_cross_entropy_with_logits(logits, exists.float())
        self.log("validation/loss", loss, sync_dist=True)
        self.log("validation/exists_accuracy", self.validation_accuracy)

    def test_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        """Log the accuracy of the presence classifier."""
        self.test_accuracy(*self._ask(batch, seeded(0, batch_idx, device=self.device)))
        self.log("test/exists_accuracy", self.test_accuracy)

    def predict_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor]:  # noqa: ARG002
        """Return labels, and the existence logit of every class (N, K)."""
        images, labels, *_ = batch
        scales = self.encoder.network.scales(images)
        logits = [self.gate(scales, torch.full_like(labels, label))[1] for label in range(self.classes)]
        return {"labels": labels, "exists": torch.stack(logits, 1)}

    def _ask(self, batch: tuple[Tensor, ...], generator: Generator) -> tuple[Tensor, Tensor]:
        images, labels, *_ = batch
        classes, fake = with_fakes(labels, self.classes, self.fake_probability, generator)
        return self(images, classes), ~fake


def with_fakes(labels: Tensor, classes: int, probability: float, generator: Generator) -> tuple[Tensor, Tensor]:
    """Replace each label by another class with some probability; return the classes (N,), and which are fake (N,) bool.

    Args:
        labels: (N,) in [0, classes).
        classes: Number of classes, at least 2.
        probability: Chance of a replacement.
        generator: Source of the randomness, on the labels' device.
    """
    fake = torch.rand(len(labels), generator=generator, device=labels.device) < probability
    shift = torch.randint(1, classes, labels.shape, generator=generator, device=labels.device)
    return torch.where(fake, (labels + shift) % classes, labels), fake
