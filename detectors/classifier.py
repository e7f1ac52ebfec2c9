"""The image classifier that is attacked."""

from collections.abc import Sequence

from torch import Tensor

from detectors.networks import ConvNet
from saliency.checkpoints import Portable
from saliency.classification import ImageClassifier
from saliency.training import Schedule


class Classifier(ImageClassifier):
    """The attacked classifier: the paper's network, or one's own.

    Args:
        shape: (C, H, W) of the images.
        classes: Number of classes.
        widths: Channels of the blocks of the paper's network; see `ConvNet`.
        network: Another network, logits (N, K) of images (N, C, H, W) in [0, 1]; normalisation is its first layer.
        learning_rate: Of Adam; the paper's is 1e-3.
        schedule: constant (the paper's) or one-cycle.

    Reference:
        Schut & Gal (2020), section 3.1 and appendix A.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        widths: Sequence[int] = (32, 64),
        network: Portable | None = None,
        learning_rate: float = 1e-3,
        schedule: Schedule = "constant",
    ) -> None:
        super().__init__(shape, classes, learning_rate, schedule)
        self.widths = widths
        self.network = ConvNet(shape, classes, widths) if network is None else network

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K) of images (N, C, H, W) in [0, 1]."""
        logits: Tensor = self.network(images)
        return logits
