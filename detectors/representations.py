"""The four detectors of Schut & Gal (2020): what their network sees is all that differs."""

from collections.abc import Sequence

import torch
from torch import Tensor

from detectors.base import Detector, ExplainingDetector
from detectors.classifier import Classifier
from detectors.explanations import LogitGradient, PredictedMap
from saliency.checkpoints import part
from saliency.jacobian import Readout
from saliency.model import SaliencyModel
from saliency.training import Schedule, frozen


class ID(Detector):
    """Image defense: the image itself.

    Args:
        classifier: The attacked classifier, or the path of its checkpoint.
        widths: Channels of the blocks of the network; None: as the classifier's.
        learning_rate: Of Adam.
        schedule: constant or one-cycle.

    Reference:
        Gong, Wang, Ku, "Adversarial and Clean Data Are Not Twins", arXiv 1704.04960.
    """

    def __init__(
        self,
        classifier: str | Classifier,
        widths: Sequence[int] | None = None,
        learning_rate: float = 1e-3,
        schedule: Schedule = "constant",
    ) -> None:
        loaded = part(classifier, Classifier)
        super().__init__(loaded, loaded.shape[0], widths, learning_rate, schedule)

    def represent(self, images: Tensor, logits: Tensor | None = None) -> Tensor:  # noqa: ARG002 - sees no logits
        """Return the images (N, C, H, W)."""
        return images


class JSD(ExplainingDetector):
    """Jacobian-based saliency defense: the image with the gradient of the classifier's logits.

    Args:
        classifier: The attacked classifier, or the path of its checkpoint.
        readout: Which scalar of the logits is differentiated: sum (the authors' code), predicted or margin.
        widths: Channels of the blocks of the network; None: as the classifier's.
        learning_rate: Of Adam.
        schedule: constant or one-cycle.

    Reference:
        Zhang et al., "Detecting Adversarial Perturbations with Saliency", arXiv 1803.08773, with logits in place of
        the softmax as in Schut & Gal (2020), section 3.5.
    """

    def __init__(
        self,
        classifier: str | Classifier,
        readout: Readout = "sum",
        widths: Sequence[int] | None = None,
        learning_rate: float = 1e-3,
        schedule: Schedule = "constant",
    ) -> None:
        loaded = part(classifier, Classifier)
        super().__init__(loaded, 2 * loaded.shape[0], widths, learning_rate, schedule)
        self.readout = readout

    @property
    def explanation(self) -> LogitGradient:
        """The Jacobian."""
        return LogitGradient(self.classifier, self.readout)

    def combine(self, images: Tensor, explanation: Tensor) -> Tensor:
        """Return image and Jacobian, (N, 2C, H, W)."""
        return torch.cat([images, explanation], 1)


class _SaliencyDetector(ExplainingDetector):
    """A detector that sees the learnt map of the predicted class."""

    def __init__(
        self,
        classifier: str | Classifier,
        saliency: str | SaliencyModel,
        channels: int | None,
        widths: Sequence[int] | None,
        learning_rate: float,
        schedule: Schedule,
    ) -> None:
        loaded = part(classifier, Classifier)
        super().__init__(loaded, channels or loaded.shape[0], widths, learning_rate, schedule)
        self.saliency = part(saliency, SaliencyModel)
        if (tuple(self.saliency.shape), self.saliency.classes) != (tuple(self.shape), self.classes):
            msg = (
                f"the saliency model saw images {tuple(self.saliency.shape)} of {self.saliency.classes} classes, the "
                f"classifier {tuple(self.shape)} of {self.classes}: use checkpoints of one data set"
            )
            raise ValueError(msg)
        frozen(self.saliency)

    @property
    def explanation(self) -> PredictedMap:
        """The map of the predicted class."""
        return PredictedMap(self.classifier, self.saliency)


class SMD(_SaliencyDetector):
    """Saliency map defense: the map alone.

    Args:
        classifier: The attacked classifier, or the path of its checkpoint; its predicted class selects the map.
        saliency: The learnt saliency model, or the path of its checkpoint.
        widths: Channels of the blocks of the network; None: as the classifier's.
        learning_rate: Of Adam.
        schedule: constant or one-cycle.

    Reference:
        Schut & Gal (2020), section 3.4.1.
    """

    def __init__(
        self,
        classifier: str | Classifier,
        saliency: str | SaliencyModel,
        widths: Sequence[int] | None = None,
        learning_rate: float = 1e-3,
        schedule: Schedule = "constant",
    ) -> None:
        super().__init__(classifier, saliency, 1, widths, learning_rate, schedule)

    def combine(self, images: Tensor, explanation: Tensor) -> Tensor:  # noqa: ARG002 - sees no image
        """Return the maps (N, 1, H, W)."""
        return explanation


class SPD(_SaliencyDetector):
    """Salient pixel defense: the map times the image.

    Args:
        classifier: The attacked classifier, or the path of its checkpoint; its predicted class selects the map.
        saliency: The learnt saliency model, or the path of its checkpoint.
        widths: Channels of the blocks of the network; None: as the classifier's.
        learning_rate: Of Adam.
        schedule: constant or one-cycle.

    Reference:
        Schut & Gal (2020), section 3.4.2.
    """

    def __init__(
        self,
        classifier: str | Classifier,
        saliency: str | SaliencyModel,
        widths: Sequence[int] | None = None,
        learning_rate: float = 1e-3,
        schedule: Schedule = "constant",
    ) -> None:
        super().__init__(classifier, saliency, None, widths, learning_rate, schedule)

    def combine(self, images: Tensor, explanation: Tensor) -> Tensor:
        """Return the salient pixels (N, C, H, W)."""
        return explanation * images
