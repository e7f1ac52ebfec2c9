"""Kernel density of the penultimate features among those of the predicted class (Feinman et al., 2017)."""

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from attacks.checks import above_zero, at_least, given
from detectors.published.features import PENULTIMATE, Features
from detectors.published.fitted import Clean, FittedDetector, by_class, empty_buffers, squared_distances
from saliency.checkpoints import Portable

_BANDWIDTHS: Final = 2.0 ** torch.arange(-4, 2.25, 0.25, dtype=torch.float64)
"""Bandwidths tried, as multiples of the median distance between images of a class."""


class KernelDensity(FittedDetector):
    r"""Minus the log density of an image's features among those of clean images of the class that is predicted.

    .. math:: -\log \frac{1}{n} \sum_i (2 \pi h^2)^{-d/2} \exp(-\lVert f(x) - f(x_i) \rVert^2 / (2 h^2))

    Published attacks: Carlini & Wagner (2017) break it on MNIST and CIFAR-10 with the density as a term of the loss.

    Args:
        classifier: The attacked classifier.
        layers: Its layers, joined; the paper's is the last hidden one.
        bandwidth: h, above 0; None: the one of 25, from a sixteenth to four times the median distance within classes,
            of the highest likelihood of the clean images, each left out of its own density.
        points: At most so many clean images of each class, the first ones.

    Reference:
        Feinman et al., "Detecting Adversarial Samples from Artifacts", arXiv 1703.00410, section 3.2. Broken in
        Carlini & Wagner, "Adversarial Examples Are Not Easily Detected", arXiv 1705.07263, section 5.
    """

    points_of_classes: Tensor
    counts: Tensor
    width: Tensor

    def __init__(
        self,
        classifier: Portable,
        layers: Sequence[str] = (PENULTIMATE,),
        bandwidth: float | None = None,
        points: int = 1000,
    ) -> None:
        super().__init__(classifier, layers)
        above_zero(**given(bandwidth=bandwidth))
        at_least(2, points=points)
        self.bandwidth = bandwidth
        self.points = points
        empty_buffers(self, "points_of_classes", "counts", "width")

    def fit(self, clean: Clean) -> None:
        """Fit to clean images of every class."""
        outputs = self.gathered(clean)
        groups = by_class(torch.cat(outputs.layers, 1), outputs.labels, outputs.logits.shape[1])
        groups = [group[: self.points] for group in groups]
        width = _best_width([group.double() for group in groups]) if self.bandwidth is None else self.bandwidth
        counts = torch.tensor([len(group) for group in groups])
        self.keep(points_of_classes=torch.cat(groups), counts=counts, width=torch.tensor(width))

    def score(self, seen: Features) -> Tensor:
        """Return scores (N,): minus the log density among the predicted class."""
        values, predicted = torch.cat(seen.layers, 1), seen.logits.argmax(1)
        squares = squared_distances(values, self.points_of_classes)
        owners = torch.arange(len(self.counts), device=values.device).repeat_interleave(self.counts)
        exponents = (-squares / (2 * self.width**2)).masked_fill(owners != predicted[:, None], -torch.inf)
        constant = values.shape[1] / 2 * torch.log(2 * math.pi * self.width**2) + self.counts[predicted].log()
        return constant - exponents.logsumexp(1)


def _best_width(groups: Sequence[Tensor]) -> float:
    """Return the bandwidth of the highest likelihood of all rows, each left out of its class's density."""
    squares = [squared_distances(group, group).fill_diagonal_(torch.inf) for group in groups]
    apart = torch.cat([each[each.isfinite()] for each in squares]).sqrt()
    median = apart.median().item() if len(apart) else 0.0
    if not median > 0:
        return 1.0
    widths = (median * _BANDWIDTHS).tolist()
    dimension = groups[0].shape[1]
    likelihoods = [sum(_left_out(each, width, dimension) for each in squares) for width in widths]
    return float(widths[likelihoods.index(max(likelihoods))])


def _left_out(squares: Tensor, width: float, dimension: int) -> float:
    """Return the log likelihood of the rows of a class, by their squared distances (n, n) with inf on the diagonal."""
    if len(squares) < 2:  # noqa: PLR2004 - nothing is left
        return 0.0
    logs = (-squares / (2 * width**2)).logsumexp(1) - math.log(len(squares) - 1)
    return float((logs - dimension * math.log(width)).sum())
