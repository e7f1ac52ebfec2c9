"""The saliency methods that every test of the contract runs; a new method adds one entry."""

import pytest
import torch
from torch import nn

from saliency import (
    LIME,
    Enhanced,
    GradCAM,
    Gradient,
    GradientTimesInput,
    GuidedBackprop,
    IntegratedGradients,
    Jacobian,
    Random,
    SmoothGrad,
)

METHODS = {
    "Gradient": Gradient(),
    "GradientTimesInput": GradientTimesInput(),
    "Jacobian": Jacobian(),
    "SmoothGrad": SmoothGrad(samples=3),
    "SmoothGrad-square": SmoothGrad(samples=3, square=True),
    "IntegratedGradients": IntegratedGradients(steps=5),
    "GradCAM": GradCAM(),
    "GuidedBackprop": GuidedBackprop(),
    "Enhanced": Enhanced(),
    "Enhanced-SmoothGrad": Enhanced(base=SmoothGrad(samples=2), normalisation="energy"),
    "LIME": LIME(samples=30, segments=9),
    "Random": Random(),
}
EACH = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
SEEDED = {"SmoothGrad", "SmoothGrad-square", "Enhanced-SmoothGrad", "LIME", "Random"}


class Functional(nn.Module):
    """A small network that rectifies in a way of one's choice, two times."""

    def __init__(self, rectify) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 3, 3)
        self.second = nn.Conv2d(3, 3, 3)
        self.last = nn.Linear(3 * 8 * 8, 4)
        self.rectify = rectify

    def forward(self, images):
        hidden = self.rectify(self.second(self.rectify(self.first(images))))
        return self.last(hidden.flatten(1))


def hooks_of(model: nn.Module) -> int:
    """The number of hooks on a model and all its parts."""
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(part, kind)) for part in model.modules() for kind in kinds)


class Constant(nn.Module):
    """A network whose logits are the same whatever it sees, with a ReLU and a map inside."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Conv2d(1, 1, 3)
        self.relu = nn.ReLU()

    def forward(self, images):
        return (0 * self.relu(self.map(images))).flatten(1)[:, :4] + torch.tensor([1.0, 2.0, 3.0, 4.0])
