"""The sentence about the cost of a suite, before it runs."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from attacks import Estimation, Expectation, HingedPGD, StraightThrough
from experiments.study.contenders import Contender
from experiments.white_box.attacker import Subject
from experiments.white_box.forecast import forecast
from experiments.white_box.records import BEFORE
from experiments.white_box.suite import SuiteAttack

WALK = HingedPGD(epsilon=0.1, steps=7, goals=0)


class Greys(nn.Module):
    """Computes a part of its scores in numpy, and says so; counts its passes."""

    straight_through = ("greys",)
    differentiable = False
    passes = 0
    images = 0

    def greys(self, images):
        return torch.from_numpy((8 * images.detach().numpy()).round() / 8)

    def forward(self, images):
        self.passes += 1
        self.images += len(images)
        return self.greys(images).mean((1, 2, 3))


def averaged(*, attack):
    return Expectation(attack=StraightThrough(attack=attack))


def timed(*attacks):
    """Return a detector after the forecast for some attacks on it."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    images, module = torch.rand(4, 1, 4, 4), Greys()
    attacker = SimpleNamespace(images=images, labels=model(images).argmax(1), device=torch.device("cpu"))
    subject = Subject(Contender("mine", None, None, module, torch.linspace(0, 1, 101)), BEFORE, model)
    most, sentence = forecast(attacker, [(subject, attacks)])
    assert f"at most {most.forward} passes forward and {most.backward} backward" in sentence
    return module


PLAIN = SuiteAttack("hinged", WALK, "gradient", "")


@pytest.mark.parametrize(("remedy", "passes"), [(StraightThrough, 12), (averaged, 12), (Estimation, 0)])
def test_backward_passes_around_a_part_are_timed_through_the_detector(remedy, passes):
    remedied = SuiteAttack("hinged_remedied", remedy(attack=WALK), "gradient", "")
    assert timed(remedied).passes == timed(PLAIN).passes + passes


def test_what_takes_long_is_timed_with_few_images(monkeypatch):
    quick = timed(PLAIN)
    monkeypatch.setattr("experiments.white_box.forecast._LONG", 0.0)
    slow = timed(PLAIN)
    assert quick.passes == 3 * slow.passes
    assert quick.images == (2 + 4 + 4) / 2 * slow.images
