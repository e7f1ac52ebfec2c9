"""Stage 1 of the learnt saliency model: an encoder, trained as a classifier."""

import torch
from torch import Tensor

from saliency.classification import ImageClassifier
from saliency.training import Schedule
from saliency.unet import EncoderNetwork


class Encoder(ImageClassifier):
    """The encoder of the saliency U-Net, trained as a classifier of the data set, frozen afterwards.

    Args:
        shape: (C, H, W) of the images.
        classes: Number of classes.
        width: Channels of the first scale; the authors use 32 for CIFAR-10 and 64 for ASSIRA.
        learning_rate: Of Adam; the peak of a one-cycle schedule.
        schedule: constant or one-cycle.

    Reference:
        Dabkowski & Gal, arXiv 1705.07857, section 4.1.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        width: int = 16,
        learning_rate: float = 1e-2,
        schedule: Schedule = "one-cycle",
    ) -> None:
        super().__init__(shape, classes, learning_rate, schedule)
        self.width = width
        self.network = EncoderNetwork(shape[0], classes, width).to(memory_format=torch.channels_last)

    def scales(self, images: Tensor) -> list[Tensor]:
        """Return the features of the four scales of images (N, C, H, W) in [0, 1]."""
        return self.network.scales(images)

    def classify(self, scales: list[Tensor]) -> Tensor:
        """Return logits (N, K) of the features of the scales."""
        return self.network.classify(scales)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K) of images (N, C, H, W) in [0, 1]."""
        logits: Tensor = self.network(images)
        return logits
