"""Margins of predictions, and when a prediction counts as changed.

Logits are (N, K), K at least 2. Labels (N,) are classes to leave or, if targeted, to reach.
"""

import torch
from torch import Tensor

from attacks.problem import Problem

_SURE = 32
"""The smallest lead that counts, in roundings of the largest logit. Smaller ones depend on batch size and layout."""


def rivals_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the logits (N, K) with the labels' own at minus infinity."""
    return logits.scatter(1, labels[:, None], -torch.inf)


def lead(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the label's logit minus the largest other one (N,); negative if another class leads."""
    return logits.gather(1, labels[:, None]).squeeze(1) - rivals_of(logits, labels).amax(1)


def ahead(logits: Tensor, labels: Tensor, *, targeted: bool = False) -> Tensor:
    """Return the lead with which the goal is reached (N,); negative if it is not reached."""
    return lead(logits, labels) if targeted else -lead(logits, labels)


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    r"""Return :math:`\log(p / (1 - p))` of the labels' softmax probability p, (N,).

    It falls as the cross entropy rises. Its gradient has the opposite direction of the cross entropy's, but does not
    vanish when the softmax saturates.
    """
    return logits.gather(1, labels[:, None]).squeeze(1) - rivals_of(logits, labels).logsumexp(1)


def fooled(logits: Tensor, labels: Tensor, *, targeted: bool = False) -> Tensor:
    """Return whether the goal is reached by more than rounding, (N,) bool."""
    return ahead(logits, labels, targeted=targeted) > _SURE * torch.finfo(logits.dtype).eps * logits.abs().amax(1)


def reached(logits: Tensor, labels: Tensor, *, targeted: bool) -> Tensor:
    """Return whether the predictions differ from the labels (targeted: equal them), (N,) bool; False for NaN."""
    return ((logits.argmax(1) == labels) == targeted) & ~logits.isnan().any(1)


@torch.no_grad()
def nearest_classes(problem: Problem, number: int) -> list[Tensor]:
    """Return the classes (N,) with the largest logits on the images, without the labels, the largest first."""
    rivals = rivals_of(problem.model(problem.images), problem.labels)
    return list(rivals.topk(min(number, rivals.shape[1] - 1), 1).indices.T)
