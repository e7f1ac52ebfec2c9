"""A network on the features of a layer of the classifier (Metzen et al., 2017)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from attacks.guard import evaluation_mode
from detectors.base import Architecture, Detector
from detectors.classifier import Classifier
from detectors.published.features import check_layers, feature_maps, pooled_layers
from saliency.checkpoints import part
from saliency.training import Schedule


class FeatureHead(Detector):
    """A trained detector that sees the feature maps of a layer of the classifier.

    The maps are enlarged to the size of the image, each value to a rectangle, so that the network of the other trained
    detectors fits on them.

    It differs from the paper in that network, which the other trained detectors have too, and in its training: Metzen
    et al. also harden the detector by adversarial images that know it, made anew in each step.

    Published attacks: Carlini & Wagner (2017) break it on CIFAR-10 by an attack on classifier and detector together.

    Args:
        classifier: The attacked classifier, or the path of its checkpoint; frozen.
        layer: One of its layers, by the names of `named_modules`, or `penultimate`; None: its first pooling layer.
        widths: Channels of the blocks of the network; None: as the classifier's.
        learning_rate: Step size of Adam, above 0.
        schedule: constant or one-cycle.
        architecture: Of the network: paper or residual, see `Detector`.

    Raises:
        ValueError: If the layer does not exist; lists those that do.

    Reference:
        Metzen et al., "On Detecting Adversarial Perturbations", arXiv 1702.04267. Broken in Carlini &
        Wagner, "Adversarial Examples Are Not Easily Detected", arXiv 1705.07263.
    """

    def __init__(
        self,
        classifier: str | Classifier,
        layer: str | None = None,
        widths: Sequence[int] | None = None,
        learning_rate: float = 1e-3,
        schedule: Schedule = "constant",
        architecture: Architecture = "paper",
    ) -> None:
        loaded = part(classifier, Classifier)
        layer = pooled_layers(loaded)[0] if layer is None else layer
        check_layers(loaded, [layer])
        super().__init__(loaded, _channels(loaded, layer), widths, learning_rate, schedule, architecture)
        self.layer = layer

    def represent(self, images: Tensor, logits: Tensor | None = None) -> Tensor:  # noqa: ARG002 - needs a pass
        """Return the enlarged feature maps (N, channels, H, W)."""
        return self._enlarged(feature_maps(self.classifier, self.layer, images)[1])

    def joint(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the classifier's logits (N, K) and the scores (N,), from one pass."""
        logits, maps = feature_maps(self.classifier, self.layer, images)
        return logits, self._scored(images, self._enlarged(maps))

    def _enlarged(self, maps: Tensor) -> Tensor:
        return functional.interpolate(maps, self.shape[1:], mode="nearest")


@torch.no_grad()
def _channels(classifier: Classifier, layer: str) -> int:
    """Return how many feature maps a layer gives."""
    image = next(classifier.parameters()).new_zeros(1, *classifier.shape)
    with evaluation_mode(classifier):
        return feature_maps(classifier, layer, image)[1].shape[1]
