"""Local intrinsic dimensionality of features among clean images (Ma et al., 2018)."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from attacks.checks import at_least
from detectors.published.features import Features, pooled_layers
from detectors.published.fitted import Clean, FittedDetector, fixed_order, more_than, squared_distances
from saliency.checkpoints import Portable

_SMALLEST: Final = 1e-30
"""Lower bound of squared distances, which are 0 for an image that is a reference image."""
_LARGEST_DIMENSION: Final = 1e4
"""Upper bound, reached where all neighbours are equally far."""


class LocalIntrinsicDimensionality(FittedDetector):
    r"""How fast an image's neighbourhood fills with clean images, in the features of each layer.

    For each layer, with the distances :math:`r_1 \le \dots \le r_k` to the k nearest reference images,

    .. math:: LID(x) = -\left( \frac{1}{k} \sum_{i=1}^{k} \log \frac{r_i}{r_k} \right)^{-1}

    The score is the mean over layers of the LID, each standardised by its mean and standard deviation over the
    reference images, each of them left out of its own neighbours. It is differentiable through the distances.

    Two things differ from the paper. Neighbours are sought among a fixed set of clean images, kept in buffers, where
    the paper takes those of the mini-batch: the score of an image does not depend on its batch. No adversarial image
    is seen: Ma et al. weight the layers by a logistic regression on adversarial and noisy images.
    `WeightedLocalIntrinsicDimensionality` does weight them.

    Published attacks: Athalye et al. (2018) evade it by PGD with high confidence on the classifier alone, without
    knowing the detector; accuracy falls to 5 % at an L-inf distance of 0.031 on CIFAR-10 (table 1).

    Args:
        classifier: The attacked classifier.
        layers: Its layers; None: its pooling layers and the penultimate one; the paper takes all.
        neighbours: k, at least 2.
        reference: At most so many clean images are kept, drawn from all; more than k.
        pool: Whether feature maps are averaged over their places; the paper flattens them.

    Raises:
        ValueError: If a layer does not exist, or the reference images are not more than the neighbours.

    Reference:
        Ma et al., "Characterizing Adversarial Subspaces Using Local Intrinsic Dimensionality", arXiv 1801.02613,
        algorithm 1. Evaded in Athalye et al., "Obfuscated Gradients Give a False Sense of Security",
        arXiv 1802.00420.
    """

    def __init__(
        self,
        classifier: Portable,
        layers: Sequence[str] | None = None,
        neighbours: int = 20,
        reference: int = 1000,
        pool: bool = False,  # noqa: FBT001, FBT002 - a plain value of the pipeline file
    ) -> None:
        super().__init__(classifier, pooled_layers(classifier) if layers is None else layers, pool=pool)
        at_least(2, neighbours=neighbours)
        at_least(neighbours + 1, reference=reference)
        self.neighbours = neighbours
        self.reference = reference
        for place in range(len(self.layers)):
            for name in ("points", "scale"):
                self.register_buffer(f"{name}_{place}", torch.empty(0))

    def fit(self, clean: Clean) -> None:
        """Fit to clean images, more than there are neighbours."""
        outputs = self.gathered(clean)
        more_than(self.neighbours, len(outputs.logits))
        rows = fixed_order(len(outputs.logits))[: self.reference]
        for place, layer in enumerate(outputs.layers):
            points = layer[rows]
            dimensions = self._dimensions(squared_distances(points, points).fill_diagonal_(torch.inf)).double()
            scale = torch.stack([dimensions.mean(), dimensions.std().clamp(min=1e-12)]).float()
            self.keep(**{f"points_{place}": points, f"scale_{place}": scale})

    def dimensions(self, seen: Features) -> Tensor:
        """Return the LID (N, L) of each layer."""
        points = [getattr(self, f"points_{place}") for place in range(len(self.layers))]
        squares = [squared_distances(*each) for each in zip(seen.layers, points, strict=True)]
        return torch.stack([self._dimensions(each) for each in squares], 1)

    def score(self, seen: Features) -> Tensor:
        """Return scores (N,): the mean over layers of the standardised LID."""
        return self.parts(seen).mean(1)

    def parts(self, seen: Features) -> Tensor:
        """Return the standardised LID (N, L) of each layer."""
        mean, deviation = torch.stack([getattr(self, f"scale_{place}") for place in range(len(self.layers))], 1)
        parts: Tensor = (self.dimensions(seen) - mean) / deviation
        return parts

    def _dimensions(self, squares: Tensor) -> Tensor:
        """Return the LID (N,) of squared distances (N, M) to reference images."""
        nearest = squares.topk(self.neighbours, largest=False, sorted=True).values.clamp(min=_SMALLEST)
        logs = 0.5 * nearest.log()
        growth = logs[:, -1] - logs.mean(1)
        return 1 / growth.clamp(min=1 / _LARGEST_DIMENSION)
