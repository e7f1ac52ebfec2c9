"""Natural scene statistics of an image among those of clean images (Kherchouche et al., 2020)."""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from detectors.published.features import Features
from detectors.published.gaussian import OneClass

_SHAPES: Final = torch.linspace(0.2, 10, 9801, dtype=torch.float64)
"""Shapes of a generalised Gaussian that a fit may return."""
_LUMINANCE: Final = (0.2125, 0.7154, 0.0721)
"""Weights of red, green and blue in the luminance, as in `skimage.color.rgb2gray`."""
_RADIUS, _DEVIATION = 3, 7 / 6
_CONSTANT: Final = 1 / 255
_ZERO: Final = 1e-5
"""Coefficients up to this size count on neither side of an asymmetric Gaussian: rounding must not decide their sign."""


class SceneStatistics(OneClass):
    r"""Distance of an image's natural scene statistics to those of clean images.

    The luminance is normalised by the mean and deviation of its neighbourhood, in a Gaussian window of 7 x 7 pixels:

    .. math:: \hat I_{ij} = (I_{ij} - \mu_{ij}) / (\sigma_{ij} + 1/255)

    The statistics are 18 numbers: shape and variance of a generalised Gaussian that has the moments of these
    coefficients; and shape, mean, left and right variance of an asymmetric one for the products of neighbours, along
    rows, columns and both diagonals. The score is their Mahalanobis distance (see `OneClass`).

    This differs from the paper: Kherchouche et al. train a support vector machine on the statistics of clean and
    adversarial images. Here no adversarial image is seen.

    Published attacks: open. Ours: a walk that changes no pixel in a flat area (`attacks.Textured`) wins images of MNIST
    that no other walk does; a step there moves these statistics far.

    Args:
        classifier: The attacked classifier.

    Reference:
        Kherchouche, Fezza, Hamidouche & Deforges, "Natural Scene Statistics for Detecting Adversarial Examples in Deep
        Neural Networks", IEEE MMSP 2020, doi 10.1109/MMSP48831.2020.9287056; again in arXiv 2107.05780. The statistics
        are those of Mittal et al., "No-Reference Image Quality Assessment in the Spatial Domain", IEEE TIP 2012.
    """

    def seen(self, images: Tensor) -> Features:
        """Return the logits, and the statistics (N, 18) of the images."""
        found = statistics(images.double())  # so that rounding, which depends on the batch, does not count
        return Features(self.classifier(images), [found.to(images.dtype)])


def statistics(images: Tensor) -> Tensor:
    """Return the natural scene statistics (N, 18) of images (N, C, H, W) in [0, 1], of at least 2 x 2 pixels."""
    values = normalised(luminance(images))
    pairs = (
        values[:, :, :-1] * values[:, :, 1:],
        values[:, :-1] * values[:, 1:],
        values[:, :-1, :-1] * values[:, 1:, 1:],
        values[:, 1:, :-1] * values[:, :-1, 1:],
    )
    return torch.cat([gaussian(values.flatten(1)), *(asymmetric_gaussian(pair.flatten(1)) for pair in pairs)], 1)


def luminance(images: Tensor) -> Tensor:
    """Return the luminance (N, H, W) of images (N, C, H, W); of other than three channels, their mean."""
    if images.shape[1] != len(_LUMINANCE):
        return images.mean(1)
    return torch.einsum("nchw,c->nhw", images, images.new_tensor(_LUMINANCE))


def normalised(images: Tensor) -> Tensor:
    """Return mean-subtracted contrast-normalised coefficients (N, H, W) of grey images (N, H, W)."""
    mean = _blurred(images)
    variance = (_blurred(images.square()) - mean.square()).clamp(min=1e-8)  # so that its root has a gradient
    return (images - mean) / (variance.sqrt() + _CONSTANT)


def gaussian(values: Tensor) -> Tensor:
    """Return shape and variance (N, 2) of the generalised Gaussians that have the moments of values (N, M)."""
    variance = values.square().mean(1)
    return torch.stack([_shape(values.abs().mean(1).square() / variance.clamp(min=1e-12)), variance], 1)


def asymmetric_gaussian(values: Tensor) -> Tensor:
    """Return shape, mean, left and right variance (N, 4) of asymmetric generalised Gaussians with such moments."""
    left, right = (_mean_square(values, side) for side in (values < -_ZERO, values > _ZERO))
    ratio = (left / right).sqrt()
    moments = values.abs().mean(1).square() / values.square().mean(1).clamp(min=1e-12)
    shape = _shape(moments * (ratio**3 + 1) * (ratio + 1) / (ratio.square() + 1).square())
    one, two, three = (torch.lgamma(order / shape) for order in (1, 2, 3))
    mean = (right.sqrt() - left.sqrt()) * torch.exp(two - (one + three) / 2)
    return torch.stack([shape, mean, left, right], 1)


def _mean_square(values: Tensor, chosen: Tensor) -> Tensor:
    return (values.square() * chosen).sum(1) / chosen.sum(1).clamp(min=1) + 1e-12


def _blurred(images: Tensor) -> Tensor:
    places = torch.arange(-_RADIUS, _RADIUS + 1, dtype=images.dtype, device=images.device)
    line = torch.exp(-places.square() / (2 * _DEVIATION**2))
    line = line / line.sum()
    wide = functional.pad(images[:, None], [_RADIUS] * 4, mode="replicate")
    return functional.conv2d(functional.conv2d(wide, line.view(1, 1, -1, 1)), line.view(1, 1, 1, -1)).squeeze(1)


def _shape(ratio: Tensor) -> Tensor:
    r"""Return the shapes (N,) whose :math:`\Gamma(2/a)^2 / (\Gamma(1/a) \Gamma(3/a))` is the ratio (N,)."""
    shapes = _SHAPES.to(ratio)
    ratios = torch.exp(2 * torch.lgamma(2 / _SHAPES) - torch.lgamma(1 / _SHAPES) - torch.lgamma(3 / _SHAPES)).to(ratio)
    inside = ratio.clamp(ratios[0].item(), ratios[-1].item())
    after = torch.searchsorted(ratios, inside.detach()).clamp(1, len(ratios) - 1)
    steepness = (shapes[after] - shapes[after - 1]) / (ratios[after] - ratios[after - 1])
    return shapes[after - 1] + (inside - ratios[after - 1]) * steepness
