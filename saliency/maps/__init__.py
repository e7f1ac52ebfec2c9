"""Saliency methods, all with one signature."""

from saliency.maps.enhanced import enhance, runner_up
from saliency.maps.reduction import reduce

__all__ = ["enhance", "reduce", "runner_up"]
