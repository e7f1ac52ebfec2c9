"""What is kept of a walk: the best point, of which NaN is never one."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from attacks import JointDDN
from attacks.problem import Problem
from attacks.white_box.walk import Kept
from tests.attacks.white_box.cases import UNTARGETED
from tests.fixtures import CLASSES

WALKS = {
    name: replace(UNTARGETED[name], restarts=2) for name in ("SelectivePGD", "OrthogonalPGD", "Joint", "JointLoss")
}
WALKS["Square"] = UNTARGETED["Square"]


def offered(kept, number, lead, score):
    """Offer a point of one value, with that lead of a wrong class and that score."""
    return kept.offer(torch.full((1, 1, 1, 1), number), torch.tensor([[0.0, lead]]), torch.tensor([score]))


@pytest.mark.parametrize("ties", [False, True])
def test_point_with_a_nan_score_gives_way_to_one_with_any_other(ties):
    kept = Kept(Problem(nn.Identity(), torch.zeros(1, 1, 1, 1), torch.tensor([0])), targeted=False, ties=ties)
    for number, lead, score, best in [
        (0.1, torch.nan, 0.0, 0.0),
        (0.2, -1.0, torch.nan, 0.2),
        (0.3, torch.nan, 1.0, 0.2),
        (0.4, 1.0, torch.nan, 0.4),
        (0.5, 1.0, 1e9, 0.5),
        (0.6, 1.0, torch.nan, 0.5),
        (0.7, 1.0, 2.0, 0.7),
    ]:
        offered(kept, number, lead, score)
        if not (ties and number == 0.1):
            assert kept.points.item() == pytest.approx(best)


class BlindAtStart(nn.Module):
    """A detector whose scores are not numbers on given images."""

    def __init__(self, images):
        super().__init__()
        self.images = images

    def forward(self, images):
        """Return scores (N,)."""
        same = (images[:, None] == self.images).flatten(2).all(2).any(1)
        return images.mean((1, 2, 3)).masked_fill(same, torch.nan)


@pytest.mark.parametrize("name", WALKS)
def test_image_with_a_nan_score_is_left(name, classifier, images):
    wrong = (classifier(images).argmax(1) + 1) % CLASSES
    result = WALKS[name].report(classifier, images, wrong, detector=BlindAtStart(images))
    assert result.scores.isfinite().all()
    assert result.success.all()


def test_shortest_pass_is_found_after_a_score_of_nan(classifier, images):
    class Accepting(BlindAtStart):
        def forward(self, images):
            return super().forward(images) - 1

    labels = classifier(images).argmax(1)
    result = JointDDN(steps=20).report(classifier, images, labels, detector=Accepting(images))
    assert result.success.sum() >= 6
    assert (result.scores[result.success] < 0).all()
