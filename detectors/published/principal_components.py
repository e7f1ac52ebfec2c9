"""Weight of an image on the late principal components of clean images (Hendrycks & Gimpel, 2017)."""

import torch
from torch import Tensor

from attacks.checks import above_zero, at_least, at_most
from detectors.published.features import Features
from detectors.published.fitted import Clean, Fitted, empty_buffers
from saliency.checkpoints import Portable


class PrincipalComponents(Fitted):
    r"""Variance of the coefficients of an image's pixels on the late principal components of clean images, whitened.

    With the mean and the eigenvectors of the covariance :math:`U \Lambda U^\top` of the pixels of clean images,

    .. math:: z = (\Lambda + \epsilon)^{-1/2} U^\top (x - \mu), \qquad \frac{1}{m} \sum_{i > d - m} z_i^2

    Two things differ from the paper. The variance is taken around zero, the mean of each coefficient over clean images,
    so that the signs of the eigenvectors, which are arbitrary, count nothing. Variances get a small constant, because
    the border pixels of MNIST have none.

    Published attacks: Carlini & Wagner (2017) evade it on MNIST, where they find that it mostly sees these border
    pixels; on CIFAR-10 they find clean and adversarial images alike.

    Args:
        classifier: The attacked classifier.
        share: m / d, the part of the components, those of the smallest variances, that count; above 0, at most 1.
        epsilon: Added to the variances, of pixels in [0, 1]; above 0. The default is about the variance of rounding to
            256 levels.

    Reference:
        Hendrycks & Gimpel, "Early Methods for Detecting Adversarial Images", arXiv 1608.00530. Broken in
        Carlini & Wagner, "Adversarial Examples Are Not Easily Detected", arXiv 1705.07263.
    """

    mean: Tensor
    whitening: Tensor

    def __init__(self, classifier: Portable, share: float = 0.25, epsilon: float = 1e-6) -> None:
        super().__init__(classifier)
        above_zero(share=share, epsilon=epsilon)
        at_most(1, share=share)
        self.share = share
        self.epsilon = epsilon
        empty_buffers(self, "mean", "whitening")

    def fit(self, clean: Clean) -> None:
        """Fit to clean images, two at least."""
        (pixels,) = self.gathered(clean).layers
        at_least(2, images=len(pixels))
        mean = pixels.double().mean(0)
        centred = pixels.double() - mean
        variances, vectors = torch.linalg.eigh(centred.T @ centred / (len(pixels) - 1))  # from the smallest on
        late = max(1, round(self.share * len(variances)))
        whitening = vectors[:, :late] / (variances[:late].clamp(min=0) + self.epsilon).sqrt()
        self.keep(mean=mean.float(), whitening=whitening.float())

    def seen(self, images: Tensor) -> Features:
        """Return the logits, and the pixels (N, C * H * W) of the images."""
        return Features(self.classifier(images), [images.flatten(1)])

    def score(self, seen: Features) -> Tensor:
        """Return scores (N,): the variance of the late coefficients."""
        (pixels,) = seen.layers
        return ((pixels - self.mean) @ self.whitening).square().mean(1)
