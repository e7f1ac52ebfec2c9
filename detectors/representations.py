"""The four detectors of Schut & Gal (2020), which differ in the representation that their network sees."""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from attacks.checks import one_of
from attacks.errors import InputError
from detectors.base import Architecture, Detector, ExplainingDetector
from detectors.baselines import odds_against
from detectors.classifier import Classifier
from detectors.explanations import LogitGradient, PredictedMap
from saliency import SaliencyModel, jacobian
from saliency.checkpoints import part
from saliency.jacobian import Readout, softplus_copy
from saliency.training import Schedule, frozen

Scale = Literal["map", "log-odds"]

_SMALLEST_ODDS = 1e-4
"""Added to a map's values m and to 1 - m, so that their log-odds are finite."""

_SMALLEST_AREA = 1e-4
"""Added to a map's area, so that the logarithm of an empty map is finite and has a gradient."""


class ID(Detector):
    """Image defense: the image itself.

    Args:
        classifier: The attacked classifier, or the path of its checkpoint.
        widths: Channels of the blocks of the network; None: as the classifier's.
        learning_rate: Step size of Adam, above 0.
        schedule: constant or one-cycle.
        architecture: Of the network: paper or residual, see `Detector`.

    Reference:
        Gong, Wang, Ku, "Adversarial and Clean Data Are Not Twins", arXiv 1704.04960.
    """

    def __init__(
        self,
        classifier: str | Classifier,
        widths: Sequence[int] | None = None,
        learning_rate: float = 1e-3,
        schedule: Schedule = "constant",
        architecture: Architecture = "paper",
    ) -> None:
        loaded = part(classifier, Classifier)
        super().__init__(loaded, loaded.shape[0], widths, learning_rate, schedule, architecture)

    def represent(self, images: Tensor, logits: Tensor | None = None) -> Tensor:  # noqa: ARG002 - sees no logits
        """Return the images (N, C, H, W)."""
        return images

    def on_pixels(self, change: Tensor) -> Tensor:
        """Return the change itself."""
        return change


class JSD(ExplainingDetector):
    """Jacobian-based saliency defense: the image with the gradient of the classifier's logits.

    Args:
        classifier: The attacked classifier, or the path of its checkpoint.
        readout: Which scalar of the logits is differentiated: sum (the authors' code), predicted or margin.
        widths: Channels of the blocks of the network; None: as the classifier's.
        learning_rate: Step size of Adam, above 0.
        schedule: constant or one-cycle.
        architecture: Of the network: paper or residual, see `Detector`.

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
        architecture: Architecture = "paper",
    ) -> None:
        one_of(get_args(Readout), readout=readout)
        loaded = part(classifier, Classifier)
        super().__init__(loaded, 2 * loaded.shape[0], widths, learning_rate, schedule, architecture)
        self.readout = readout

    @property
    def explanation(self) -> LogitGradient:
        """The Jacobian."""
        return LogitGradient(self.classifier, self.readout)

    def combine(self, images: Tensor, explanation: Tensor) -> Tensor:
        """Return image and Jacobian, (N, 2C, H, W)."""
        return torch.cat([images, explanation], 1)

    def joint(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, K) and scores (N,), with attention whose Jacobian can be differentiated."""
        with sdpa_kernel(SDPBackend.MATH):
            return super().joint(images)

    def surrogates(self, images: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return logits, scores, and as `softplus` the score with the Jacobian of a softplus classifier.

        The Jacobian of ReLU and max pooling is piecewise constant: no gradient passes through it. There is no surrogate
        if the classifier has no `nn.ReLU` modules.
        """
        logits, scores = self.joint(images)
        smooth = softplus_copy(self.classifier.network)
        if smooth is None or not self.takes_explanation:
            return logits, scores, {}
        gradient = jacobian(smooth, images, self.readout)
        return logits, scores, {"softplus": self.score(images, gradient)}

    def on_pixels(self, change: Tensor) -> Tensor:
        """Return the change of the image; that of the Jacobian is left out."""
        return change[:, : self.shape[0]]


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
        architecture: Architecture,
    ) -> None:
        loaded = part(classifier, Classifier)
        super().__init__(loaded, channels or loaded.shape[0], widths, learning_rate, schedule, architecture)
        self.saliency = part(saliency, SaliencyModel)
        if (tuple(self.saliency.shape), self.saliency.classes) != (tuple(self.shape), self.classes):
            msg = (
                f"the saliency model saw images {tuple(self.saliency.shape)} of {self.saliency.classes} classes, the "
                f"classifier {tuple(self.shape)} of {self.classes}: use checkpoints of one data set"
            )
            raise InputError(msg)
        frozen(self.saliency)

    @property
    def explanation(self) -> PredictedMap:
        """The map of the predicted class."""
        return PredictedMap(self.classifier, self.saliency)

    def surrogates(self, images: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return logits, scores, and the scores of two parts.

        `disagreement`: log-odds of the saliency model's own encoder against the predicted class; `area`: minus the
        logarithm of the map's mean.
        """
        if not self.takes_explanation:
            return super().surrogates(images)
        logits = self.classifier(images)
        predicted = logits.argmax(1)
        masks, opinion = self.saliency.masks_and_opinion(images, predicted)
        parts = {
            "disagreement": odds_against(opinion, predicted),
            "area": -(masks.mean((1, 2, 3)) + _SMALLEST_AREA).log(),
        }
        return logits, self.score(images, masks), parts


class SMD(_SaliencyDetector):
    """Saliency map defense: the map alone.

    Args:
        classifier: The attacked classifier, or the path of its checkpoint; its predicted class selects the map.
        saliency: The learnt saliency model, or the path of its checkpoint.
        scale: map: the network sees the map's values (the paper); log-odds: their log-odds, scaled to [-1, 1]. Most
            values are close to 0 or 1, where log-odds enlarge small differences and noise.
        widths: Channels of the blocks of the network; None: as the classifier's.
        learning_rate: Step size of Adam, above 0.
        schedule: constant or one-cycle.
        architecture: Of the network: paper or residual, see `Detector`.

    Raises:
        ValueError: If scale is another word.

    Reference:
        Schut & Gal (2020), section 3.4.1.
    """

    def __init__(
        self,
        classifier: str | Classifier,
        saliency: str | SaliencyModel,
        scale: Scale = "map",
        widths: Sequence[int] | None = None,
        learning_rate: float = 1e-3,
        schedule: Schedule = "constant",
        architecture: Architecture = "paper",
    ) -> None:
        one_of(get_args(Scale), scale=scale)
        super().__init__(classifier, saliency, 1, widths, learning_rate, schedule, architecture)
        self.scale = scale

    def combine(self, images: Tensor, explanation: Tensor) -> Tensor:  # noqa: ARG002 - sees no image
        """Return the maps (N, 1, H, W), or their log-odds."""
        return explanation if self.scale == "map" else _log_odds(explanation)

    def on_pixels(self, change: Tensor) -> Tensor:
        """Return the change of the map, for each channel of the image (the authors' code)."""
        return change


class SPD(_SaliencyDetector):
    """Salient pixel defense: the map times the image.

    Args:
        classifier: The attacked classifier, or the path of its checkpoint; its predicted class selects the map.
        saliency: The learnt saliency model, or the path of its checkpoint.
        widths: Channels of the blocks of the network; None: as the classifier's.
        learning_rate: Step size of Adam, above 0.
        schedule: constant or one-cycle.
        architecture: Of the network: paper or residual, see `Detector`.

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
        architecture: Architecture = "paper",
    ) -> None:
        super().__init__(classifier, saliency, None, widths, learning_rate, schedule, architecture)

    def combine(self, images: Tensor, explanation: Tensor) -> Tensor:
        """Return the salient pixels (N, C, H, W)."""
        return explanation * images

    def on_pixels(self, change: Tensor) -> Tensor:
        """Return the change of the salient pixels as one of the pixels (the authors' code)."""
        return change


def _log_odds(maps: Tensor) -> Tensor:
    """Return log-odds of values in [0, 1], scaled to [-1, 1]."""
    odds = (maps + _SMALLEST_ODDS) / (1 - maps + _SMALLEST_ODDS)
    return odds.log() / math.log1p(1 / _SMALLEST_ODDS)
