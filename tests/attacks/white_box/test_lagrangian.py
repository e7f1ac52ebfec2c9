"""LagrangianPGD beside linear programmes, and what its two additions win."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import nn

from attacks import APGD, LagrangianPGD

EPSILON, VALUES = 0.1, 16


class Linear(nn.Module):
    """Scores, or logits, that are linear in the image; large ones, as some detectors give them under attack."""

    def __init__(self, outputs, seed, size=1.0):
        super().__init__()
        draws = torch.Generator().manual_seed(seed)
        self.weight = size * torch.randn(outputs, VALUES, generator=draws, dtype=torch.double)
        self.bias = torch.zeros(outputs, dtype=torch.double)

    def forward(self, images):
        found = (images.flatten(1) - 0.5) @ self.weight.T + self.bias
        return found if len(self.bias) > 1 else found.squeeze(1)


def slack(model, detector, image, label):
    """The most by which a point in the box can meet both constraints, each in its own scale; by scipy."""
    rows, limits = [], []
    margin = model.weight[label] - model.weight[1 - label]
    offset = model.bias[label] - model.bias[1 - label]
    for weight, bias, size in ((margin, offset, 1.0), (detector.weight[0], detector.bias[0], detector.size)):
        rows.append([*(weight / size).tolist(), 1.0])
        limits.append(float((weight.sum() / 2 - bias) / size))
    low, high = (image - EPSILON).clamp(min=0).flatten(), (image + EPSILON).clamp(max=1).flatten()
    bounds = [*zip(low.tolist(), high.tolist(), strict=True), (None, None)]
    best = linprog([*np.zeros(VALUES), -1.0], A_ub=rows, b_ub=limits, bounds=bounds)
    return best.x[-1]


@pytest.mark.parametrize("size", [0.01, 1.0, 1000.0])
def test_a_linear_system_is_beaten_exactly_where_a_linear_programme_finds_a_point(size):
    model = Linear(2, seed=1)
    images = torch.rand(60, 1, 4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.double)
    labels = model(images).argmax(1)
    detector = Linear(1, seed=3, size=size)
    detector.size = size
    detector.bias = -detector(images).median()[None]
    found = LagrangianPGD(epsilon=EPSILON, margin=0.02, score_margin=0.02 * size).report(
        model, images, labels, detector=detector
    )
    won = found.success & (found.scores <= 0)
    slacks = torch.tensor([slack(model, detector, *each) for each in zip(images, labels, strict=True)])
    assert 10 < int((slacks > 0.05).sum()) < 50
    assert bool(won[slacks > 0.05].all())
    assert not bool(won[slacks < -1e-9].any())


class Ridge(nn.Module):
    """Logits that want both values high, and never change the class where the second is below its start."""

    def forward(self, images):
        first, second = (images[:, 0, 0, :2] - 0.5).unbind(1)
        lead = first + 0.5 * second - 0.05 - 10 * (-second).clamp(min=0)
        return torch.stack([-lead, lead], 1)


class Valleys(nn.Module):
    """Accepts a low second value, towards which it pulls from the start, or a high one."""

    def forward(self, images):
        second = images[:, 0, 0, 1] - 0.5
        return torch.where(second > 0.06, 0.09 - second, 0.05 + second)


@pytest.mark.slow
def test_a_start_at_an_adversarial_image_wins_where_the_detector_pulls_to_a_dead_end(monkeypatch):
    images = torch.full((1, 1, 1, 2), 0.5, dtype=torch.double)
    labels = torch.tensor([0])

    def won():
        found = LagrangianPGD(epsilon=EPSILON, goals=1).report(Ridge(), images, labels, detector=Valleys())
        return bool((found.success & (found.scores <= 0)).all())

    assert won()
    monkeypatch.setattr(APGD, "climb", lambda *_: None)
    assert not won()


class Outside(nn.Module):
    """Looks mostly at the third value, which a region leaves out."""

    def forward(self, images):
        return (images - 0.5).flatten(1) @ torch.tensor([[0.0], [1.0], [1e4], [0.0]]).to(images).squeeze(1) + 0.02


class First(nn.Module):
    def forward(self, images):
        lead = images[:, 0, 0, 0] - 0.52
        return torch.stack([-lead, lead], 1)


def test_gradients_count_within_the_region_alone():
    images = torch.full((1, 1, 1, 4), 0.5, dtype=torch.double)
    region = torch.tensor([True, True, False, False]).view(1, 1, 1, 4)
    attack = LagrangianPGD(epsilon=EPSILON, norm="l2", goals=1, margin=0.001, score_margin=0.001)
    found = attack.report(First(), images, torch.tensor([0]), detector=Outside(), region=region)
    assert bool((found.success & (found.scores <= 0)).all())
