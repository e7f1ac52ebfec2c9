"""A network with a class of its own for adversarial images (Grosse et al., 2017)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from detectors.base import Detector
from detectors.classifier import Classifier
from detectors.networks import ConvNet
from saliency.checkpoints import part
from saliency.training import Schedule


class ExtraClass(Detector):
    r"""A trained detector with K + 1 outputs: the classes of the images, and one for adversarial images.

    It is trained by the cross entropy of the class, or of the extra one: its batches have labels. The score is the
    log-odds of the extra class, :math:`z_{K+1} - \log \sum_{j \le K} \exp z_j`.

    It differs from the paper: there the network of K + 1 classes is itself the classifier that is attacked. Here it
    stands beside the classifier, as the other detectors do.

    Published attacks: Carlini & Wagner (2017) break it: on MNIST their attack wins on all images.

    Args:
        classifier: The attacked classifier, or the path of its checkpoint.
        widths: Channels of the blocks of the network, always a `ConvNet`; None: as the classifier's.
        learning_rate: Step size of Adam, above 0.
        schedule: constant or one-cycle.

    Reference:
        Grosse et al., "On the (Statistical) Detection of Adversarial Examples", arXiv 1702.06280. Broken in
        Carlini & Wagner, "Adversarial Examples Are Not Easily Detected", arXiv 1705.07263.
    """

    network: "_LastAgainstOthers"

    def __init__(
        self,
        classifier: str | Classifier,
        widths: Sequence[int] | None = None,
        learning_rate: float = 1e-3,
        schedule: Schedule = "constant",
    ) -> None:
        loaded = part(classifier, Classifier)
        super().__init__(loaded, loaded.shape[0], widths, learning_rate, schedule)
        self.network = _LastAgainstOthers(self.shape, self.classes + 1, self.widths)

    def represent(self, images: Tensor, logits: Tensor | None = None) -> Tensor:  # noqa: ARG002 - sees no logits
        """Return the images (N, C, H, W)."""
        return images

    def on_pixels(self, change: Tensor) -> Tensor:
        """Return the change itself."""
        return change

    def _judged(self, batch: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        images, is_adversarial, labels, *_ = batch
        outputs = ConvNet.forward(self.network, images)
        classes = torch.where(is_adversarial, self.classes, labels)
        return _odds_of_last(outputs), is_adversarial, functional.cross_entropy(outputs, classes)


class _LastAgainstOthers(ConvNet):
    def forward(self, images: Tensor) -> Tensor:
        """Return the log-odds (N, 1) of the last output."""
        return _odds_of_last(super().forward(images))[:, None]


def _odds_of_last(outputs: Tensor) -> Tensor:
    return outputs[:, -1] - outputs[:, :-1].logsumexp(1)
