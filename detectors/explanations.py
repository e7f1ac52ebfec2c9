"""What frozen networks say about an image, beside which a detector sees the image or nothing else."""

from torch import Tensor

from detectors.classifier import Classifier
from saliency.checkpoints import Portable
from saliency.jacobian import Readout, jacobian
from saliency.model import SaliencyModel


class Explanation(Portable):
    """A function of the image alone: `forward(images, logits=None)`, (N, c, H, W), with networks that do not train.

    The logits are the classifier's (N, K) on these images where they are known; else they are asked for.
    """


class PredictedMap(Explanation):
    """The learnt map of the predicted class; never of the true one, which would leak the label.

    Args:
        classifier: Its prediction selects the map.
        saliency: The learnt saliency model.
    """

    def __init__(self, classifier: Classifier, saliency: SaliencyModel) -> None:
        super().__init__()
        self.classifier = classifier
        self.saliency = saliency

    def forward(self, images: Tensor, logits: Tensor | None = None) -> Tensor:
        """Return maps (N, 1, H, W) in [0, 1]."""
        maps: Tensor = self.saliency(self.classifier, images, None if logits is None else logits.argmax(1))
        return maps


class LogitGradient(Explanation):
    """The gradient of a readout of the classifier's logits; see `saliency.jacobian`.

    Args:
        classifier: Gives the logits.
        readout: sum, predicted or margin.
    """

    def __init__(self, classifier: Classifier, readout: Readout) -> None:
        super().__init__()
        self.classifier = classifier
        self.readout = readout

    def forward(self, images: Tensor, logits: Tensor | None = None) -> Tensor:
        """Return the gradient (N, C, H, W)."""
        return jacobian(self.classifier, images, self.readout, logits)
