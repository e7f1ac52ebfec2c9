"""Saliency maps: the learnt model of Dabkowski & Gal, gradients, and the standard methods."""

from saliency.jacobian import jacobian
from saliency.maps import (
    LIME,
    Enhanced,
    GradCAM,
    Gradient,
    GradientTimesInput,
    GuidedBackprop,
    IntegratedGradients,
    Jacobian,
    Learnt,
    Random,
    SaliencyMethod,
    SmoothGrad,
)
from saliency.model import SaliencyModel
from saliency.selector import Encoder, Selector

__all__ = [
    "LIME",
    "Encoder",
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
    "SaliencyModel",
    "Selector",
    "SmoothGrad",
    "jacobian",
]
