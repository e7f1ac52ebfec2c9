"""Guided backpropagation."""

from dataclasses import dataclass

from captum.attr import GuidedBackprop as Guided
from torch import Tensor

from attacks.problem import Problem
from saliency.maps.base import SaliencyMethod
from saliency.maps.rectifiers import SeparateReLUs, frozen


@dataclass(frozen=True, kw_only=True)
class GuidedBackprop(SaliencyMethod):
    """The gradient of the class' logit with what is negative dropped at each ReLU on its way back.

    Functional, in-place and repeated ReLUs count as well as modules (see `SeparateReLUs`). A network in which the image
    passes none is refused, for the plain gradient would come out; so is one in which it passes other rectifiers (GELU,
    ReLU6, ...), which the method says nothing about.

    Raises:
        ValueError: At the call, if the method is not defined for the network.

    Reference:
        Springenberg et al., "Striving for Simplicity", arXiv 1412.6806. By Captum.
    """

    def attribute(self, problem: Problem) -> Tensor:
        """Return the guided gradient; see `SaliencyMethod.attribute`."""
        view = SeparateReLUs(problem.model, problem.images[:1])
        if view.others or not view.rectifiers:
            found = f"this one uses {' and '.join(view.others)}" if view.others else "none is seen on the image's way"
            msg = f"guided backpropagation is defined by a network's ReLUs, but {found}: use another saliency method"
            raise ValueError(msg)
        with frozen(problem.model):
            maps: Tensor = Guided(view).attribute(problem.images, problem.labels)
        return maps
