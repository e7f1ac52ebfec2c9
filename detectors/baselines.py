"""Training-free detectors, which a trained one must beat. Scores (N,), higher = more adversarial."""

import torch
from torch import Tensor, nn

from detectors.classifier import Classifier
from detectors.explanations import PredictedMap, UsesExplanation
from saliency import SaliencyModel


class MaxSoftmax(nn.Module):
    """Minus the classifier's largest softmax probability, as log-odds against it.

    Args:
        classifier: The attacked classifier.

    The odds keep the order of the probability, which is exactly 1 in float32 on many images.

    Reference:
        Hendrycks & Gimpel, arXiv 1610.02136.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (N,) of images (N, C, H, W) in [0, 1]."""
        logits = self.classifier(images)
        return odds_against(logits, logits.argmax(1))


class _SaliencyBaseline(nn.Module):
    """Compares the classifier with a saliency model.

    Args:
        classifier: The attacked classifier.
        saliency: The learnt saliency model.
    """

    def __init__(self, classifier: Classifier, saliency: SaliencyModel) -> None:
        super().__init__()
        self.classifier = classifier
        self.saliency = saliency


class MaskArea(_SaliencyBaseline, UsesExplanation):
    """Minus the area of the map of the predicted class: maps go empty under attack."""

    @property
    def explanation(self) -> PredictedMap:
        """The map of the predicted class."""
        return PredictedMap(self.classifier, self.saliency)

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (N,) in [-1, 0] of images (N, C, H, W) in [0, 1]."""
        return self.score(images, self.saliency(self.classifier, images))

    def score(self, images: Tensor, explanation: Tensor) -> Tensor:  # noqa: ARG002 - the map is enough
        """Return the scores (N,) of images whose maps (N, 1, H, W) are known."""
        return -explanation.mean((1, 2, 3))


class Disagreement(_SaliencyBaseline):
    """The saliency model's own encoder against the classifier: log-odds against the predicted class."""

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (N,) of images (N, C, H, W) in [0, 1]."""
        return odds_against(self.saliency.encode(images), self.classifier(images).argmax(1))


class SecondOpinion(nn.Module):
    """A second classifier of the same family against the attacked one: log-odds against the predicted class.

    Args:
        classifier: The attacked classifier.
        second: A classifier trained alike from another seed.
    """

    def __init__(self, classifier: Classifier, second: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.second = second

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (N,) of images (N, C, H, W) in [0, 1]."""
        return odds_against(self.second(images), self.classifier(images).argmax(1))


def odds_against(logits: Tensor, classes: Tensor) -> Tensor:
    r"""Return :math:`\log((1 - p_c) / p_c)`, (N,), of logits (N, K) and classes c (N,), without underflow."""
    of_class = logits.gather(1, classes[:, None]).squeeze(1)
    return logits.scatter(1, classes[:, None], -torch.inf).logsumexp(1) - of_class
