"""Guided backpropagation."""

from dataclasses import dataclass

from captum.attr import GuidedBackprop as Guided
from torch import Tensor

from attacks.problem import Problem
from saliency.maps.base import SaliencyMethod
from saliency.maps.rectifiers import SeparateReLUs


@dataclass(frozen=True, kw_only=True)
class GuidedBackprop(SaliencyMethod):
    """The gradient of the class' logit with what is negative dropped at each ReLU on its way back.

    Functional, in-place and repeated ReLUs count as well as modules (see `SeparateReLUs`); a network without any is
    refused, for the plain gradient would come out.

    Raises:
        ValueError: At the call, if the network has no ReLU that can be seen.

    Reference:
        Springenberg et al., "Striving for Simplicity", arXiv 1412.6806. By Captum.
    """

    def attribute(self, problem: Problem) -> Tensor:
        """Return the guided gradient; see `SaliencyMethod.attribute`."""
        view = SeparateReLUs(problem.model, problem.images[:1])
        if not view.rectifiers:
            msg = (
                "guided backpropagation is defined by a network's ReLUs, and this one has none that can be seen "
                "(others, as GELU or ReLU6, and scripted modules do not count): use another saliency method"
            )
            raise ValueError(msg)
        maps: Tensor = Guided(view).attribute(problem.images, problem.labels)
        return maps
