"""Mahalanobis distance and LID with layers weighted by a logistic regression on pairs, as in their papers."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from attacks.errors import InputError
from attacks.guard import evaluation_mode
from detectors.published.features import Features
from detectors.published.fitted import Clean, Fitted, empty_buffers
from detectors.published.intrinsic_dimensionality import LocalIntrinsicDimensionality
from detectors.published.mahalanobis import Mahalanobis
from saliency.checkpoints import Portable

PairBatches = Iterable[Any]
"""Batches whose first two fields are images (2N, C, H, W), the clean ones first, and whether each is adversarial."""


class _Weighted(Fitted):
    """Scores by the log-odds of a logistic regression over the parts (N, L) of a detector that is fitted first."""

    weights: Tensor
    bias: Tensor

    def fit(self, clean: Clean, pairs: PairBatches | None = None) -> None:
        """Fit to clean images, then weight the layers by pairs: clean and noisy images against adversarial ones."""
        if pairs is None:
            msg = f"{type(self).__name__} is fitted to pairs as well: call fit(clean, pairs)"
            raise InputError(msg)
        super().fit(clean)  # type: ignore[safe-super]
        parts, adversarial = self._parts_of(pairs)
        weights, bias = _regression(parts, adversarial)
        self.keep(weights=weights, bias=bias)

    def score(self, seen: Features) -> Tensor:
        """Return scores (N,): the log-odds of being adversarial."""
        parts: Tensor = self.parts(seen)  # type: ignore[operator]
        return parts @ self.weights + self.bias

    @torch.no_grad()
    def _parts_of(self, pairs: PairBatches) -> tuple[Tensor, Tensor]:
        """Return the parts (M, L) of clean, adversarial and noisy images, and which are adversarial, (M,)."""
        parts, labels = [], []
        generator = torch.Generator().manual_seed(0)
        with evaluation_mode(self.classifier):
            for images, is_adversarial, *_ in pairs:
                clean, attacked = images[~is_adversarial], images[is_adversarial]
                for each, adversarial in (
                    (clean, False),
                    (attacked, True),
                    (_noisy(clean, attacked, generator), False),
                ):
                    seen = self.seen(each.to(self.fitted.device))
                    parts.append(self.parts(seen).double().cpu())  # type: ignore[operator]
                    labels.append(torch.full((len(each),), adversarial))
        if not parts:
            msg = f"{type(self).__name__} is fitted to pairs, and got none"
            raise InputError(msg)
        return torch.cat(parts), torch.cat(labels)


def _noisy(clean: Tensor, attacked: Tensor, generator: torch.Generator) -> Tensor:
    """Return clean images (N, C, H, W) with Gaussian noise of the L2 norm of each attack, in [0, 1]."""
    noise = torch.randn(clean.shape, generator=generator).to(clean)
    sizes = [each.flatten(1).norm(dim=1)[:, None, None, None] for each in (attacked - clean, noise)]
    noisy: Tensor = (clean + noise * sizes[0] / sizes[1]).clamp(0, 1)
    return noisy


def _regression(parts: Tensor, adversarial: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights (L,) and bias () of scikit-learn's logistic regression, its penalty chosen by five folds."""
    from sklearn.linear_model import LogisticRegressionCV  # noqa: PLC0415 - it takes a second

    fitted = LogisticRegressionCV(cv=5, class_weight="balanced", max_iter=1000)
    fitted.fit(parts.numpy(), adversarial.numpy())
    return torch.as_tensor(fitted.coef_[0]).float(), torch.as_tensor(fitted.intercept_[0]).float()


class WeightedMahalanobis(_Weighted, Mahalanobis):
    """`Mahalanobis`, its layers weighted by a logistic regression on adversarial images.

    It differs from the paper: the input gets no noise before it is scored. It knows the attack of the pairs.

    Args:
        classifier: The attacked classifier.
        layers: Its layers; None: its pooling layers and the penultimate one.

    Reference:
        Lee et al., arXiv 1807.03888, section 2.2 (feature ensemble).
    """

    def __init__(self, classifier: Portable, layers: Sequence[str] | None = None) -> None:
        super().__init__(classifier, layers)
        empty_buffers(self, "weights", "bias")


class WeightedLocalIntrinsicDimensionality(_Weighted, LocalIntrinsicDimensionality):
    """`LocalIntrinsicDimensionality`, its layers weighted by a logistic regression on adversarial and noisy images.

    It knows the attack of the pairs. Neighbours are sought among a fixed set of clean images, as without weights.

    Args:
        classifier: The attacked classifier.
        layers: Its layers; None: its pooling layers and the penultimate one.
        neighbours: See `LocalIntrinsicDimensionality`.
        reference: See `LocalIntrinsicDimensionality`.
        pool: See `LocalIntrinsicDimensionality`.

    Reference:
        Ma et al., arXiv 1801.02613, algorithm 1.
    """

    def __init__(
        self,
        classifier: Portable,
        layers: Sequence[str] | None = None,
        neighbours: int = 20,
        reference: int = 1000,
        pool: bool = False,  # noqa: FBT001, FBT002 - a plain value of the pipeline file
    ) -> None:
        super().__init__(classifier, layers, neighbours, reference, pool)
        empty_buffers(self, "weights", "bias")
