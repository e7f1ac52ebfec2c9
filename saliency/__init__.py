"""Saliency maps: the learnt model of Dabkowski & Gal, gradients, and the standard methods."""

from saliency.jacobian import jacobian
from saliency.maps.base import SaliencyMethod
from saliency.maps.enhanced import Enhanced
from saliency.maps.grad_cam import GradCAM
from saliency.maps.gradients import Gradient, GradientTimesInput, IntegratedGradients, Jacobian, SmoothGrad
from saliency.maps.guided import GuidedBackprop
from saliency.maps.learnt import Learnt
from saliency.maps.lime import LIME
from saliency.maps.random import Random
from saliency.model import SaliencyModel
from saliency.selector import Encoder, Selector

__all__ = [
    "LIME", "Encoder", "Enhanced", "GradCAM", "Gradient", "GradientTimesInput", "GuidedBackprop", "IntegratedGradients",
    "Jacobian", "Learnt", "Random", "SaliencyMethod", "SaliencyModel", "Selector", "SmoothGrad", "jacobian",
]  # fmt: skip
