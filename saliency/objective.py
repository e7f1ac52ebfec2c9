r"""The objectives of the learnt saliency model, as named terms. Pure torch.

Both see the black box's logits on the image under its mask (kept) and under the mask's complement (destroyed). For the
true class the kept image must show the class and the destroyed one must not. For a fake class, absent from the image,
the two swap, so that an empty mask is best.

References:
    Dabkowski & Gal, "Real Time Image Saliency for Black Box Classifiers", arXiv 1705.07857, equation 3, and the
    authors' code; Schut & Gal, "Model-based Saliency for the Detection of Adversarial Examples" (2020), section 3.3.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from attacks.margin import lead

Objective = Literal["margin", "log"]

AREA_OFFSET = 5e-4
"""Keeps the gradient of area^exponent finite at an empty mask; the value of the authors' code."""


class Weights(NamedTuple):
    """Weights of the terms."""

    area: float
    smoothness: float
    preserve: float
    destroy: float


MARGIN_WEIGHTS = Weights(area=8.0, smoothness=0.0, preserve=0.3, destroy=1.0)
LOG_WEIGHTS = Weights(area=8.0, smoothness=0.0, preserve=1.0, destroy=5.0)


class Terms(NamedTuple):
    """The terms of an objective, unweighted, and their weighted sum; scalars."""

    area: Tensor
    smoothness: Tensor
    preserve: Tensor
    destroy: Tensor
    total: Tensor


def margin(
    masks: Tensor, kept: Tensor, destroyed: Tensor, labels: Tensor, fake: Tensor, weights: Weights = MARGIN_WEIGHTS
) -> Terms:
    r"""Return the objective as coded by Dabkowski & Gal: hinges on logits.

    With :math:`o = \max_{j \ne y} z_j`, :math:`T(c) = \mathrm{relu}(o - z_y + c)` and
    :math:`N(c) = \mathrm{relu}(z_y - o + c)`: destroy is N(5) on the destroyed image, preserve T(1) on the kept one;
    for a fake class T(1) and N(1). The area is the mean of :math:`(M + .0005)^{.3}`.

    Args:
        masks: (N, 1, H, W) in [0, 1].
        kept: (N, K) logits of the image under the mask.
        destroyed: (N, K) logits of the image under the complement.
        labels: (N,), the true class y, also where the mask was made for a fake one.
        fake: (N,) bool, the mask was made for an absent class.
        weights: Factor of each term, at least 0.
    """
    preserve = torch.where(fake, functional.relu(lead(kept, labels) + 1), functional.relu(1 - lead(kept, labels)))
    destroy = torch.where(
        fake, functional.relu(1 - lead(destroyed, labels)), functional.relu(lead(destroyed, labels) + 5)
    )
    return _combine(masks, (masks + AREA_OFFSET) ** 0.3, preserve, destroy, weights)


def log(
    masks: Tensor, kept: Tensor, destroyed: Tensor, labels: Tensor, fake: Tensor, weights: Weights = LOG_WEIGHTS
) -> Terms:
    r"""Return the objective as printed: :math:`\lambda_2 AV(M) - \log f_y(kept) + \lambda_3 f_y(destroyed)^{.3}`.

    Arguments as of `margin`. Offered for comparison: its masks on MNIST are smaller, and destroy a little less, since
    :math:`f^{.3}` has hardly any gradient where the softmax saturates. The weights of the paper could not be verified;
    the defaults are a choice.
    """
    log_kept, log_destroyed = _log_probability(kept, labels), _log_probability(destroyed, labels)
    shown = torch.where(fake, log_destroyed, log_kept)
    hidden = torch.where(fake, log_kept, log_destroyed)
    return _combine(masks, masks, -shown, torch.exp(0.3 * hidden), weights)


OBJECTIVES = {"margin": (margin, MARGIN_WEIGHTS), "log": (log, LOG_WEIGHTS)}
"""Each objective with its default weights, by the name that a config uses."""


def total_variation(masks: Tensor) -> Tensor:
    """Return the mean squared difference of neighbouring pixels, (N,), of masks (N, 1, H, W)."""
    down = (masks[:, :, 1:] - masks[:, :, :-1]).square().mean((1, 2, 3))
    right = (masks[:, :, :, 1:] - masks[:, :, :, :-1]).square().mean((1, 2, 3))
    return down + right


def _combine(masks: Tensor, area: Tensor, preserve: Tensor, destroy: Tensor, weights: Weights) -> Terms:
    terms = (area.mean(), total_variation(masks).mean(), preserve.mean(), destroy.mean())
    total = torch.stack([weight * term for weight, term in zip(weights, terms, strict=True)]).sum()
    return Terms(*terms, total=total)


def _log_probability(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.log_softmax(logits, 1).gather(1, labels[:, None]).squeeze(1)
