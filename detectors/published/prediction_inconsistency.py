"""The divergence of the predictions of two classifiers."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from saliency.checkpoints import Portable


class PredictionInconsistency(Portable):
    r"""Jensen-Shannon divergence of the softmax of two classifiers, in [0, log 2].

    .. math:: JS(p, q) = \frac{1}{2} KL(p \Vert m) + \frac{1}{2} KL(q \Vert m), \quad m = (p + q) / 2

    It finds adversarial images that do not transfer from one classifier to the other. It is differentiable.

    It differs from the papers. Monteiro et al. train a classifier on both decision layers; Han et al. look at the
    second model's confidence in the predicted class, as `detectors.SecondOpinion` does.

    Published attacks: open. An attack that knows both classifiers fools them together.

    Args:
        classifier: The attacked classifier.
        second: Another classifier of the same classes.

    Reference:
        Monteiro et al., "Generalizable Adversarial Examples Detection Based on Bi-model Decision Mismatch",
        arXiv 1802.07770; Han et al., "Prediction Inconsistency Helps Achieve Generalizable Detection of Adversarial
        Examples", arXiv 2506.03765.
    """

    def __init__(self, classifier: Portable, second: Portable) -> None:
        super().__init__()
        self.classifier = classifier.requires_grad_(requires_grad=False)
        self.second = second.requires_grad_(requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (N,), higher = more adversarial, of images (N, C, H, W) in [0, 1]."""
        return self.joint(images)[1]

    def joint(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the classifier's logits (N, K) and the scores (N,), from one pass through each classifier."""
        logits = self.classifier(images)
        return logits, jensen_shannon(logits, self.second(images)).to(images.dtype)


def jensen_shannon(first: Tensor, second: Tensor) -> Tensor:
    """Return the divergence (N,) of the softmax of logits (N, K), in float64."""
    one, other = (functional.log_softmax(logits.double(), 1) for logits in (first, second))
    middle = one.logaddexp(other) - math.log(2)
    both = torch.stack([one, other])
    return 0.5 * (both.exp() * (both - middle)).sum((0, 2))
