"""Covariances that can be inverted for fewer images than features, and the distance of images to all clean ones."""

import torch
from torch import Tensor

from detectors.published.features import Features
from detectors.published.fitted import Clean, Fitted
from saliency.checkpoints import Portable


class OneClass(Fitted):
    r"""Squared Mahalanobis distance :math:`(v - \mu)^\top \Sigma^{-1} (v - \mu)` to all clean images, of any class.

    A subclass returns one or more vectors v of each image in `seen`. Their values are standardised, then the covariance
    is shrunk by the method of Ledoit and Wolf. The score is the mean distance of the vectors, each standardised by its
    mean and standard deviation over the clean images.

    Args:
        classifier: The attacked classifier.
        vectors: How many vectors `seen` returns of an image.
    """

    def __init__(self, classifier: Portable, vectors: int = 1) -> None:
        super().__init__(classifier)
        self.vectors = vectors
        for place in range(vectors):
            for name in ("mean", "whitening", "scale"):
                self.register_buffer(f"{name}_{place}", torch.empty(0))

    def fit(self, clean: Clean) -> None:
        """Fit to clean images."""
        for place, values in enumerate(self.gathered(clean).layers):
            mean, whitening = _whitening(values.double())
            distances = _squared_length((values.double() - mean) @ whitening)
            scale = torch.stack([distances.mean(), distances.std().clamp(min=1e-12)])
            learnt = {"mean": mean, "whitening": whitening, "scale": scale}
            self.keep(**{f"{name}_{place}": value.float() for name, value in learnt.items()})

    def distances(self, seen: Features) -> Tensor:
        """Return the squared distance (N, L) of each vector."""
        parts = [
            _squared_length((values - getattr(self, f"mean_{place}")) @ getattr(self, f"whitening_{place}"))
            for place, values in enumerate(seen.layers)
        ]
        return torch.stack(parts, 1)

    def score(self, seen: Features) -> Tensor:
        """Return scores (N,): the mean over vectors of the standardised distances."""
        mean, deviation = torch.stack([getattr(self, f"scale_{place}") for place in range(self.vectors)], 1)
        scores: Tensor = ((self.distances(seen) - mean) / deviation).mean(1)
        return scores


def shrunk_covariance(centred: Tensor) -> Tensor:
    """Return the covariance (d, d) of centred values (M, d), shrunk towards a multiple of the identity."""
    from sklearn.covariance import ledoit_wolf  # noqa: PLC0415 - it takes a second

    covariance, _ = ledoit_wolf(centred.numpy(), assume_centered=True)
    return torch.as_tensor(covariance)


def inverse_root(covariance: Tensor) -> Tensor:
    """Return W (d, d) with W W^T the inverse of a covariance (d, d)."""
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = vectors / values.clamp(min=torch.finfo(torch.float32).tiny).sqrt()
    return root


def _whitening(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean (d,) of values (M, d), and the matrix (d, d) that whitens centred values."""
    mean, spread = values.mean(0), values.std(0).clamp(min=1e-6)
    return mean, inverse_root(shrunk_covariance((values - mean) / spread)) / spread[:, None]


def _squared_length(rows: Tensor) -> Tensor:
    return rows.square().sum(1)
