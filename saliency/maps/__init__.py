"""Saliency methods: maps of what an image's class rests on, behind one signature."""

from saliency.maps.base import SaliencyMethod
from saliency.maps.enhanced import Enhanced, enhance, runner_up
from saliency.maps.grad_cam import GradCAM
from saliency.maps.gradients import Gradient, GradientTimesInput, IntegratedGradients, Jacobian, SmoothGrad
from saliency.maps.guided import GuidedBackprop
from saliency.maps.learnt import Learnt
from saliency.maps.lime import LIME
from saliency.maps.random import Random
from saliency.maps.reduction import reduce

__all__ = [
    "LIME",
    "Enhanced",
    "GradCAM",
    "Gradient",
    "GradientTimesInput",
    "GuidedBackprop",
    "IntegratedGradients",
    "Jacobian",
    "Learnt",
    "Random",
    "SaliencyMethod",
    "SmoothGrad",
    "enhance",
    "reduce",
    "runner_up",
]
