"""Fourier magnitudes of images, or of feature maps, among those of clean images (Harder et al., 2021)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from attacks.errors import InputError
from detectors.published.features import Features, check_layers, features
from detectors.published.gaussian import OneClass
from saliency.checkpoints import Portable

_DIMENSIONS = 4
"""Dimensions of feature maps: (N, c, h, w)."""


class Spectral(OneClass):
    r"""Distance of an image's Fourier magnitudes, or of those of its feature maps, to the clean images'.

    For each channel x of the image, or each feature map of a layer,

    .. math:: | \mathcal{F}(x)_{uv} | = \left| \sum_{mn} x_{mn} e^{-2 \pi i (um / H + vn / W)} \right|

    in the half of the plane that a real image does not repeat. The magnitudes of all channels make one vector, of the
    image or of each layer; the score is its Mahalanobis distance (see `OneClass`).

    This differs from the paper: Harder et al. train a logistic regression on the magnitudes of clean and adversarial
    images. Here no adversarial image is seen: clean images alone weight the frequencies.

    Published attacks: open. The score is differentiable: `evaluate.py white-box` attacks it.

    Args:
        classifier: The attacked classifier.
        layers: Its layers with feature maps: the paper's LayerMFS. None: the image itself, InputMFS. The covariance of
            d values takes 8 d^2 bytes: name small layers.

    Raises:
        ValueError: If a layer does not exist (lists those that do), or, when fitted, gives no feature maps.

    Reference:
        Harder et al., "SpectralDefense: Detecting Adversarial Attacks on CNNs in the Fourier Domain", arXiv 2103.03000,
        the magnitude Fourier spectrum.
    """

    def __init__(self, classifier: Portable, layers: Sequence[str] | None = None) -> None:
        if layers is not None:
            check_layers(classifier, layers)
        super().__init__(classifier, 1 if layers is None else len(layers))
        self.layers = layers

    def seen(self, images: Tensor) -> Features:
        """Return the logits, and the magnitudes (N, d) of the images or of each layer."""
        if self.layers is None:
            return Features(self.classifier(images), [magnitudes(images)])
        found = features(self.classifier, self.layers, images, pool=None)
        maps = zip(self.layers, found.layers, strict=True)
        return Features(found.logits, [magnitudes(_maps(layer, output)) for layer, output in maps])


def magnitudes(maps: Tensor) -> Tensor:
    """Return the Fourier magnitudes (N, c * h * (w // 2 + 1)) of maps (N, c, h, w)."""
    found: Tensor = torch.fft.rfft2(maps).abs().flatten(1)
    return found


def _maps(layer: str, output: Tensor) -> Tensor:
    if output.ndim != _DIMENSIONS:
        msg = f"layer {layer!r} gives outputs {tuple(output.shape)}, not feature maps (N, c, h, w): name a convolution"
        raise InputError(msg)
    return output
