from .jacobian import jacobian
from .maps.base import SaliencyMethod
from .maps.enhanced import Enhanced
from .maps.grad_cam import GradCAM
from .maps.gradients import Gradient, GradientTimesInput, IntegratedGradients, Jacobian, SmoothGrad
from .maps.guided import GuidedBackprop
from .maps.learnt import Learnt
from .maps.lime import LIME
from .maps.random import Random
from .model import SaliencyModel
from .selector import Encoder, Selector

__all__ = [
    "LIME", "Encoder", "Enhanced", "GradCAM", "Gradient", "GradientTimesInput", "GuidedBackprop", "IntegratedGradients",
    "Jacobian", "Learnt", "Random", "SaliencyMethod", "SaliencyModel", "Selector", "SmoothGrad", "jacobian",
]  # fmt: skip
