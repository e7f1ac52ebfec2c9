"""Mahalanobis distance of features to the nearest class (Lee et al., 2018)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from detectors.published.features import Features, pooled_layers
from detectors.published.fitted import Clean, FittedDetector, by_class, squared_distances
from detectors.published.gaussian import inverse_root, shrunk_covariance
from saliency.checkpoints import Portable


class Mahalanobis(FittedDetector):
    r"""Distance of an image's features to the nearest class, in the covariance that all classes share.

    For each layer :math:`M(x) = \min_c (f(x) - \mu_c)^\top \Sigma^{-1} (f(x) - \mu_c)`, with the means of the classes
    and the covariance around them over the clean images. The score is the mean over layers of M, each standardised by
    its mean and standard deviation over the clean images.

    Two things differ from the paper. The covariance is shrunk as by Ledoit and Wolf, so that it can be inverted for
    fewer images than features. No adversarial image is seen: Lee et al. weight the layers by a logistic regression on
    adversarial images, as `WeightedMahalanobis` does, and add noise to the input.

    Published attacks: open. The score is differentiable: `evaluate.py white-box` attacks it.

    Args:
        classifier: The attacked classifier.
        layers: Its layers; None: its pooling layers and the penultimate one.

    Reference:
        Lee et al., "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks",
        arXiv 1807.03888, equations 1 and 2 and section 2.2.
    """

    def __init__(self, classifier: Portable, layers: Sequence[str] | None = None) -> None:
        super().__init__(classifier, pooled_layers(classifier) if layers is None else layers)
        for place in range(len(self.layers)):
            for name in ("means", "whitening", "scale"):
                self.register_buffer(f"{name}_{place}", torch.empty(0))

    def fit(self, clean: Clean) -> None:
        """Fit to clean images of every class."""
        outputs = self.gathered(clean)
        for place, layer in enumerate(outputs.layers):
            values = layer.double()
            means = torch.stack([group.mean(0) for group in by_class(values, outputs.labels, outputs.logits.shape[1])])
            centred = values - means[outputs.labels]
            root = inverse_root(shrunk_covariance(centred))
            distances = _nearest(values, means, root)
            scale = torch.stack([distances.mean(), distances.std().clamp(min=1e-12)])
            learnt = {"means": means, "whitening": root, "scale": scale}
            self.keep(**{f"{name}_{place}": value.float() for name, value in learnt.items()})

    def distances(self, seen: Features) -> Tensor:
        """Return the squared distance (N, L) to the nearest class of each layer."""
        parts = [
            _nearest(layer, getattr(self, f"means_{place}"), getattr(self, f"whitening_{place}"))
            for place, layer in enumerate(seen.layers)
        ]
        return torch.stack(parts, 1)

    def score(self, seen: Features) -> Tensor:
        """Return scores (N,): the mean over layers of the standardised distances."""
        return self.parts(seen).mean(1)

    def parts(self, seen: Features) -> Tensor:
        """Return the standardised distances (N, L) of each layer."""
        mean, deviation = torch.stack([getattr(self, f"scale_{place}") for place in range(len(self.layers))], 1)
        parts: Tensor = (self.distances(seen) - mean) / deviation
        return parts


def _nearest(values: Tensor, means: Tensor, whitening: Tensor) -> Tensor:
    """Return the squared distance (N,) of whitened values (N, d) to the nearest of the whitened means (K, d)."""
    nearest: Tensor = squared_distances(values @ whitening, means @ whitening).amin(1)
    return nearest
