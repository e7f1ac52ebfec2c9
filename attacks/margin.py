"""Margins of predictions, and when a prediction counts as changed.

Logits are (N, K), K at least 2; labels (N,) are to be left or, if targeted, to be reached.
"""

import torch
from torch import Tensor

from attacks.problem import Problem

_SURE = 32
"""Least lead, in roundings of the largest logit: smaller ones turn with the batch size or the memory layout."""


def rivals_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logits (N, K) with the labels' own at minus infinity."""
    return logits.scatter(1, labels[:, None], -torch.inf)


def lead(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the label's logit minus the largest other one (N,); below 0 where another class leads."""
    return logits.gather(1, labels[:, None]).squeeze(1) - rivals_of(logits, labels).amax(1)


def ahead(logits: Tensor, labels: Tensor, *, targeted: bool = False) -> Tensor:
    """Return by how much the goal is reached (N,); below 0 where it is not."""
    return lead(logits, labels) if targeted else -lead(logits, labels)


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    r"""Return :math:`\log(p / (1 - p))` of the labels' softmax probability p, (N,).

    It falls where the cross entropy rises, and its gradient has that of the cross entropy turned round; but where the
    softmax saturates, it does not vanish.
    """
    return logits.gather(1, labels[:, None]).squeeze(1) - rivals_of(logits, labels).logsumexp(1)


def fooled(logits: Tensor, labels: Tensor, *, targeted: bool = False) -> Tensor:
    """Return whether the goal is reached for sure, that is by more than rounding, (N,) bool."""
    return ahead(logits, labels, targeted=targeted) > _SURE * torch.finfo(logits.dtype).eps * logits.abs().amax(1)


def reached(logits: Tensor, labels: Tensor, *, targeted: bool) -> Tensor:
    """Return whether the predictions have left the labels, or reached them, (N,) bool; NaN is no prediction."""
    return ((logits.argmax(1) == labels) == targeted) & ~logits.isnan().any(1)


@torch.no_grad()
def nearest_classes(problem: Problem, number: int) -> list[Tensor]:
    """Return the classes (N,) of the largest logits on the images beside the labels, the nearest first."""
    rivals = rivals_of(problem.model(problem.images), problem.labels)
    return list(rivals.topk(min(number, rivals.shape[1] - 1), 1).indices.T)
