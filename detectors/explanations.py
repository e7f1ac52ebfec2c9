"""Explanations of an image by frozen networks: maps and Jacobians, which detectors see."""

from abc import abstractmethod

from torch import Tensor

from detectors.classifier import Classifier
from saliency import SaliencyModel, jacobian
from saliency.checkpoints import Portable
from saliency.jacobian import Readout


class Explanation(Portable):
    """A function of the image alone: `forward(images, logits=None)` returns (N, c, H, W).

    The classifier's logits (N, K) on these images are passed where they are known, and computed otherwise.
    """


class UsesExplanation:
    """A detector whose scores follow from images and their explanation, which other detectors may share."""

    @property
    @abstractmethod
    def explanation(self) -> Explanation:
        """The explanation, as a new module around frozen networks of this detector."""

    @property
    def takes_explanation(self) -> bool:
        """Whether an explanation that is known can be used."""
        return True

    @abstractmethod
    def score(self, images: Tensor, explanation: Tensor) -> Tensor:
        """Return the scores (N,) of images (N, C, H, W) in [0, 1] whose explanation (N, c, H, W) is known."""


class PredictedMap(Explanation):
    """The learnt map of the class that the classifier predicts; the true class would leak the label."""

    def __init__(self, classifier: Classifier, saliency: SaliencyModel) -> None:
        super().__init__()
        self.classifier = classifier
        self.saliency = saliency

    def forward(self, images: Tensor, logits: Tensor | None = None) -> Tensor:
        """Return maps (N, 1, H, W) in [0, 1]."""
        maps: Tensor = self.saliency(self.classifier, images, None if logits is None else logits.argmax(1))
        return maps


class LogitGradient(Explanation):
    """The gradient of a readout (sum, predicted or margin) of the classifier's logits; see `saliency.jacobian`."""

    def __init__(self, classifier: Classifier, readout: Readout) -> None:
        super().__init__()
        self.classifier = classifier
        self.readout = readout

    def forward(self, images: Tensor, logits: Tensor | None = None) -> Tensor:
        """Return the gradient (N, C, H, W)."""
        return jacobian(self.classifier, images, self.readout, logits)
