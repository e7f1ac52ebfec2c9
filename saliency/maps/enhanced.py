"""Enhanced guided backpropagation: the map of a class minus that of its rival."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import torch
from torch import Tensor

from attacks.checks import one_of
from attacks.errors import InputError
from attacks.margin import rivals_of
from attacks.problem import Problem
from saliency.maps.base import SaliencyMethod
from saliency.maps.guided import GuidedBackprop

Normalisation = Literal["maximum", "energy", "channel_energy"]

_SCALES: Final[dict[Normalisation, Callable[[Tensor], Tensor]]] = {
    "maximum": lambda maps: maps.abs().amax((1, 2, 3), keepdim=True),
    "energy": lambda maps: maps.abs().sum((1, 2, 3), keepdim=True),
    "channel_energy": lambda maps: maps.abs().sum((2, 3), keepdim=True),
}


def enhance(explained: Tensor, rival: Tensor, normalisation: Normalisation = "channel_energy") -> Tensor:
    r"""Return the positive part of the difference of two maps, :math:`\max(0, s_k / |s_k| - s_m / |s_m|)`.

    The results, (N, C, H, W), for (k, m) and for (m, k) share no value above 0.

    Args:
        explained: (N, C, H, W), attributions :math:`s_k` of the explained class.
        rival: (N, C, H, W), attributions :math:`s_m` of the class that it is compared with.
        normalisation: What :math:`|s|` is: maximum (of the absolute values), energy (their sum), or channel_energy
            (their sum in each channel on its own). A map of zeros is taken as it is.

    Reference: Gu & Tresp, "Saliency Methods for Explaining Adversarial Attacks", arXiv 1908.08413, section 2.2.
    """
    return (_normalised(explained, normalisation) - _normalised(rival, normalisation)).clamp_min(0)


def _normalised(maps: Tensor, normalisation: Normalisation) -> Tensor:
    scale = _SCALES[normalisation](maps)
    return maps / torch.where(scale > 0, scale, 1)


@dataclass(frozen=True, kw_only=True)
class Enhanced(SaliencyMethod):
    """A method's map of a class minus that of its rival, both normalised; what is negative is dropped.

    The rival is the class with the largest logit beside the explained one, so that no label is needed. With guided
    backpropagation, the default, this is Enhanced Guided Backpropagation.

    Args:
        base: The method that is enhanced.
        normalisation: maximum, energy or channel_energy; see `enhance`.

    Raises:
        ValueError: If the base's maps are not of a class; at the call, if the model has fewer than two classes.

    Reference: Gu & Tresp, arXiv 1908.08413, section 2.2.
    """

    base: SaliencyMethod = field(default_factory=GuidedBackprop)
    normalisation: Normalisation = "channel_energy"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(tuple(_SCALES), normalisation=self.normalisation)
        if not self.base.of_class:
            msg = f"{type(self.base).__name__} gives the same map for every class, so there is nothing to enhance"
            raise InputError(msg)

    def attribute(self, problem: Problem) -> Tensor:
        """Return the enhanced attributions; see `SaliencyMethod.attribute`."""
        with torch.no_grad():
            rivals = runner_up(problem.model(problem.images), problem.labels)
        explained, rival = (
            self.base.attribute(replace(problem, images=problem.images.clone(), labels=classes))
            for classes in (problem.labels, rivals)
        )
        return enhance(explained, rival, self.normalisation)


def runner_up(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the class (N,) with the largest logit except for the given classes (N,).

    Raises:
        ValueError: If the logits (N, K) are of fewer than two classes.
    """
    if logits.shape[1] < 2:  # noqa: PLR2004 - a class and its rival
        msg = f"a rival class needs at least two classes, got logits of shape {tuple(logits.shape)}"
        raise InputError(msg)
    return rivals_of(logits, classes).argmax(1)
