"""The hinged walk: what pulls, what it costs, and what it finds that the other walks do not."""

import math

import pytest
import torch
from torch import nn

from attacks import HingedPGD, SelectivePGD
from attacks.problem import Problem
from attacks.white_box.hinged import hinges, squared
from detectors import Thresholded
from tests.attacks.white_box.museum import BROKEN

EPSILON = 0.3


class Plane(nn.Module):
    """Logits of two classes: plus and minus the sum of the first row."""

    def forward(self, images):
        """Return logits (N, 2)."""
        lead = images[:, 0, 0].sum(1) - 1.0
        return torch.stack([lead, -lead], 1)


class Second(nn.Module):
    """A score that rises with the second row."""

    def forward(self, images):
        """Return scores (N,)."""
        return images[:, 0, 1].sum(1) - 1.0


@pytest.fixture
def grey():
    return torch.full((1, 1, 2, 2), 0.55)


def moved(attack, grey, **networks):
    """The sign of the first step of each row, (2,)."""
    change = attack(Plane(), grey, torch.zeros(1, dtype=torch.long), **networks) - grey
    return change[0, 0].mean(1).sign().tolist()


ONE = {"epsilon": EPSILON, "steps": 1, "step_size": 0.05, "goals": 0, "decay": 0.0}


def test_both_parts_pull_until_each_is_beaten_by_its_margin(grey):
    # the label leads by .2 and the score is .1: both pull
    assert moved(HingedPGD(**ONE, margin=0.1), grey, detector=Second()) == [-1, -1]
    # a score of -.5 is beaten by a margin of .4, and pulls no longer
    low = Thresholded(Second(), threshold=0.6)
    assert moved(HingedPGD(**ONE, score_margin=0.4), grey, detector=low) == [-1, 0]
    assert moved(HingedPGD(**ONE, score_margin=0.6), grey, detector=low) == [-1, -1]


def test_a_part_pulls_by_what_it_lacks_of_its_margin():
    problem = Problem(nn.Identity(), torch.zeros(3, 1, 2, 2), detector=Thresholded(Second(), spread=2.0))
    stands = torch.tensor([1.0, -0.9, -2.0], requires_grad=True)
    scores = torch.tensor([0.0, -0.5, -2.0], requires_grad=True)
    loss = squared(hinges(problem, stands, scores, margin=1.0, score_margin=0.5))
    torch.testing.assert_close(loss, torch.tensor([4.25, 0.01 + 0.25**2, 0.0]))
    pulls = torch.autograd.grad(loss.sum(), (stands, scores))
    torch.testing.assert_close(pulls, (torch.tensor([4.0, 0.2, 0.0]), torch.tensor([0.5, 0.25, 0.0])))


def test_above_the_threshold_a_score_counts_by_its_logarithm():
    problem = Problem(nn.Identity(), torch.zeros(2, 1, 2, 2), detector=Thresholded(Second(), spread=2.0))
    scores = torch.tensor([1.0, 4000.0], requires_grad=True)
    _, of_detector = hinges(problem, torch.zeros(2), scores, margin=1.0, score_margin=0.5)
    expected = [0.5 * (1 + math.log(2)), 0.5 * (1 + math.log(4001))]
    torch.testing.assert_close(of_detector, torch.tensor(expected))
    (pulls,) = torch.autograd.grad(of_detector.sum(), scores)
    torch.testing.assert_close(pulls, torch.tensor([0.25, 0.25 / 2000.5]))


def test_scores_are_measured_in_their_spread_on_clean_images():
    aim = Thresholded.at_rate(Second(), torch.linspace(-3, 3, 101), 0.05)
    assert aim.spread == pytest.approx(torch.linspace(-3, 3, 101).std().item())
    assert Thresholded.at_rate(Second(), torch.zeros(101), 0.05).spread == 1


def test_images_that_are_won_take_part_in_no_further_walk(trained):
    detector = BROKEN["Constant"](trained[1])
    attack = HingedPGD(epsilon=EPSILON, steps=20, goals=2)
    result = attack.report(*trained, detector=detector)
    assert (result.success & (result.scores <= 0)).all()
    assert result.forward_passes.max() == 20 + 1 + 1  # one walk, its last point, and the logits of the goals


def test_an_image_that_withstands_meets_every_goal(trained):
    attack = HingedPGD(epsilon=0.001, steps=5, goals=3)
    result = attack.report(*trained, detector=BROKEN["Linear"](trained[1]))
    lost = ~(result.success & (result.scores <= 0))
    assert lost.any()
    assert (result.forward_passes[lost] == 4 * 6 + 1).all()


def test_at_equal_passes_it_wins_at_least_what_the_selective_walk_wins(trained):
    detector = BROKEN["Stairs"](trained[1])
    wins = []
    for attack in (HingedPGD(epsilon=0.1, steps=30, goals=0), SelectivePGD(epsilon=0.1, steps=30)):
        result = attack.report(*trained, detector=detector)
        wins.append((result.success & (result.scores <= 0)).sum().item())
    assert wins[0] >= wins[1]
