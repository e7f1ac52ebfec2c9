"""Saliency maps: the learnt model of Dabkowski & Gal, and gradients."""

from saliency.encoder import Encoder
from saliency.jacobian import jacobian
from saliency.model import SaliencyModel
from saliency.selector import Selector

__all__ = ["Encoder", "SaliencyModel", "Selector", "jacobian"]
