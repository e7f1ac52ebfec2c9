"""FGSM, BIM and MIM against advertorch's, the same numbers in another's code."""

import pytest
import torch
from torch import nn

from attacks import BIM, FGSM, MIM
from attacks.adapter import import_advertorch

CASES = {
    "FGSM": (FGSM(epsilon=0.1), "GradientSignAttack", {"eps": 0.1}),
    "BIM": (
        BIM(epsilon=0.1, step_size=0.02, steps=8),
        "LinfBasicIterativeAttack",
        {"eps": 0.1, "eps_iter": 0.02, "nb_iter": 8},
    ),
    "MIM": (
        MIM(epsilon=0.1, step_size=0.03, steps=8, decay=0.9),
        "MomentumIterativeAttack",
        {"eps": 0.1, "eps_iter": 0.03, "nb_iter": 8, "decay_factor": 0.9},
    ),
}


@pytest.fixture
def net():
    """A small convolutional network with kinks and pooling, eight classes."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 8)
    )


def both(name, targeted, net, dtype):
    ours, theirs, parameters = CASES[name]
    net = net.to(dtype)
    batch, labels = torch.rand(16, 3, 14, 14, dtype=dtype), torch.arange(16) % 8
    batch.clamp_(0.05, 0.95).sub_(0.05).div_(0.9)  # a tenth of the values exactly 0 or 1
    reference = getattr(import_advertorch(), theirs)(net, **parameters, targeted=targeted).perturb(batch, labels)
    net.zero_grad()
    return type(ours)(**{**vars(ours), "targeted": targeted})(net, batch, labels), reference.detach(), batch


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_equal_in_double_precision(name, targeted, net):
    ours, reference, batch = both(name, targeted, net, torch.float64)
    torch.testing.assert_close(ours, reference, rtol=0, atol=1e-6)
    assert (reference - batch).abs().mean() > 0.05


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_nearly_all_values_equal_in_single_precision(name, targeted, net):
    ours, reference, _ = both(name, targeted, net, torch.float32)
    assert ((ours - reference).abs() <= 1e-6).double().mean() >= 0.998
