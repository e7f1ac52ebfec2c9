"""Training-free detectors: what a learnt one must beat. Scores (N,), higher = more adversarial."""

import torch
from torch import Tensor, nn

from detectors.classifier import Classifier
from saliency.model import SaliencyModel


class MaxSoftmax(nn.Module):
    """Minus the classifier's largest softmax probability, as log-odds against it.

    Args:
        classifier: The attacked classifier.

    Reference:
        Hendrycks & Gimpel, arXiv 1610.02136. The odds keep the order of the probability, which is exactly 1 in
        float32 on many images.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (N,) of images (N, C, H, W) in [0, 1]."""
        logits = self.classifier(images)
        return odds_against(logits, logits.argmax(1))


class MaskArea(nn.Module):
    """Minus the area of the map of the predicted class: maps go empty under attack.

    Args:
        classifier: The attacked classifier.
        saliency: The learnt saliency model.
    """

    def __init__(self, classifier: Classifier, saliency: SaliencyModel) -> None:
        super().__init__()
        self.classifier = classifier
        self.saliency = saliency

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (N,) in [-1, 0] of images (N, C, H, W) in [0, 1]."""
        maps: Tensor = self.saliency(self.classifier, images)
        return -maps.mean((1, 2, 3))


class Disagreement(nn.Module):
    """How unlikely the saliency model's own encoder finds the class that the classifier predicts.

    One minus the encoder's softmax probability of that class, as log-odds against it, which keep the order.

    Args:
        classifier: The attacked classifier.
        saliency: The learnt saliency model.
    """

    def __init__(self, classifier: Classifier, saliency: SaliencyModel) -> None:
        super().__init__()
        self.classifier = classifier
        self.saliency = saliency

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (N,) of images (N, C, H, W) in [0, 1]."""
        return odds_against(self.saliency.encode(images), self.classifier(images).argmax(1))


class SecondOpinion(nn.Module):
    """How unlikely a second classifier of the same family finds the class that the attacked one predicts.

    Args:
        classifier: The attacked classifier.
        second: Trained alike, from another seed.
    """

    def __init__(self, classifier: Classifier, second: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.second = second

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (N,) of images (N, C, H, W) in [0, 1]."""
        return odds_against(self.second(images), self.classifier(images).argmax(1))


def odds_against(logits: Tensor, classes: Tensor) -> Tensor:
    r"""Return :math:`\log((1 - p_c) / p_c)` without underflow.

    Args:
        logits: (N, K).
        classes: (N,), the class c of each row.

    Returns:
        (N,); falls strictly with the softmax probability of c.
    """
    own = logits.gather(1, classes[:, None]).squeeze(1)
    return logits.scatter(1, classes[:, None], -torch.inf).logsumexp(1) - own
