"""By how much a prediction stands, and when it counts as changed."""

import torch
from torch import Tensor

_SURE = 32
"""Least lead, in roundings of the largest logit: smaller ones turn with the batch size or the memory layout."""


def rivals_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logits with the labels' own at minus infinity.

    Args:
        logits: (N, K).
        labels: (N,).

    Returns:
        (N, K).
    """
    return logits.scatter(1, labels[:, None], -torch.inf)


def lead(logits: Tensor, labels: Tensor) -> Tensor:
    """Return how far the labels lead the best other class; below 0 where they do not.

    Args:
        logits: (N, K), K at least 2.
        labels: (N,).

    Returns:
        (N,), the label's logit minus the largest other one.
    """
    return logits.gather(1, labels[:, None]).squeeze(1) - rivals_of(logits, labels).amax(1)


def ahead(logits: Tensor, labels: Tensor, *, targeted: bool = False) -> Tensor:
    """Return by how much the goal is reached; below 0 where it is not.

    Args:
        logits: (N, K), K at least 2.
        labels: (N,), to leave or, if targeted, to reach.
        targeted: Which of the two.

    Returns:
        (N,), the lead of the labels if targeted, else minus it.
    """
    return lead(logits, labels) if targeted else -lead(logits, labels)


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    r"""Return :math:`\log(p / (1 - p))` of the labels' softmax probability p.

    It falls where the cross entropy rises, and its gradient has that of the cross entropy turned round; but where the
    softmax saturates, it does not vanish.

    Args:
        logits: (N, K), K at least 2.
        labels: (N,).

    Returns:
        (N,).
    """
    return logits.gather(1, labels[:, None]).squeeze(1) - rivals_of(logits, labels).logsumexp(1)


def fooled(logits: Tensor, labels: Tensor, *, targeted: bool = False) -> Tensor:
    """Return whether the goal is reached for sure, that is by more than rounding.

    Args:
        logits: (N, K), K at least 2.
        labels: (N,), to leave or, if targeted, to reach.
        targeted: Which of the two.

    Returns:
        (N,) bool.
    """
    return ahead(logits, labels, targeted=targeted) > _SURE * torch.finfo(logits.dtype).eps * logits.abs().amax(1)
