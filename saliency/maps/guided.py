"""Guided backpropagation."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.problem import Problem
from saliency.maps.base import SaliencyMethod
from saliency.maps.rectifiers import GuidedRectifiers, frozen


@dataclass(frozen=True, kw_only=True)
class GuidedBackprop(SaliencyMethod):
    """The gradient of the class' logit with what is negative dropped at each rectifier on its way back.

    Rectifiers are ReLUs, also with an upper bound (ReLU6), in any form (see `GuidedRectifiers`). A network in which the
    image passes none is refused, for the plain gradient would come out; so is one in which it passes activations that
    the method says nothing about (GELU, Hardswish, ...).

    Raises:
        ValueError: At the call, if the method is not defined for the network.

    Reference:
        Springenberg et al., "Striving for Simplicity", arXiv 1412.6806. Captum's hooks are on `nn.ReLU` modules and the
        tensors that these get: they miss functional ReLUs, and change what reaches such a tensor by another way.
    """

    def attribute(self, problem: Problem) -> Tensor:
        """Return the guided gradient; see `SaliencyMethod.attribute`."""
        images = problem.images.detach().requires_grad_()
        with frozen(problem.model), GuidedRectifiers() as rectifiers:
            logits = problem.model(images)
        if rectifiers.others or not rectifiers.found:
            others = " and ".join(sorted(rectifiers.others))
            found = f"this one uses {others}" if others else "none is seen on the image's way"
            msg = f"guided backpropagation is defined by a network's ReLUs, but {found}: use another saliency method"
            raise ValueError(msg)
        (gradient,) = torch.autograd.grad(logits.gather(1, problem.labels[:, None]).sum(), images)
        return gradient
