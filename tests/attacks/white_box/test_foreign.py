"""Detectors of one's own, which share nothing and offer nothing."""

import copy

import pytest
import torch
from torch import nn

from attacks import Alternating, Estimation, Joint, JointDDN, JointLoss, OrthogonalPGD, SelectivePGD, Square
from detectors import Classifier, Thresholded
from tests.attacks.white_box.cases import Casting, Watcher
from tests.fixtures import CLASSES, SHAPE

WALK = {"epsilon": 0.3, "steps": 10}
ATTACKS = {
    "SelectivePGD": SelectivePGD(**WALK),
    "SelectivePGD-parts": SelectivePGD(**WALK, part_weights=(1.0,)),
    "OrthogonalPGD": OrthogonalPGD(**WALK),
    "Joint": Joint(**WALK),
    "JointLoss": JointLoss(**WALK, search_steps=2),
    "Alternating": Alternating(steps=10),
    "Square": Square(epsilon=0.3, queries=60),
    "JointDDN": JointDDN(steps=20),
}


class Reshaping(nn.Module):
    """A network that fails on activations in another layout than rows."""

    def __init__(self, outputs):
        super().__init__()
        self.convolution = nn.Conv2d(SHAPE[0], 4, 3)
        self.head = nn.Linear(400, outputs)

    def forward(self, images):
        """Return (N, outputs), or (N,) for one."""
        features = self.convolution(images).relu()
        return self.head(features.view(len(features), -1)).squeeze(1)


@pytest.mark.parametrize("name", ATTACKS)
def test_any_module_that_gives_scores_is_a_detector(name, classifier, images):
    detector = Casting(1, seed=3)
    with torch.no_grad():
        before = detector(images)
    asked = Thresholded(detector, before.median().item())
    result = ATTACKS[name].report(classifier, images, detector=asked)
    torch.testing.assert_close(result.scores, before.median() * -1 + detector(result.images).detach())
    assert (result.success & (result.scores <= 0)).sum() >= (3 if name == "Square" else 6)


@pytest.mark.parametrize("name", ATTACKS)
def test_networks_that_need_rows_are_attacked(name, images):
    model, detector = Reshaping(CLASSES), Reshaping(1)
    storage = [weight.data_ptr() for weight in [*model.parameters(), *detector.parameters()]]
    result = ATTACKS[name].report(model, images, detector=detector)
    assert result.success.any()
    assert [weight.data_ptr() for weight in [*model.parameters(), *detector.parameters()]] == storage


@pytest.mark.parametrize("name", ATTACKS)
def test_a_column_of_scores_is_refused(name, classifier, images):
    column = nn.Sequential(nn.Flatten(), nn.Linear(144, 1))
    with pytest.raises(
        ValueError, match=r"one score per image, shape \(8,\), got \(8, 1\) from Sequential: return one"
    ):
        ATTACKS[name](classifier, images, detector=column)


@pytest.mark.parametrize("name", ATTACKS)
def test_decisions_and_arrays_are_refused_with_what_goes_without_a_gradient(name, classifier, images):
    class Decided(nn.Module):
        def forward(self, images):
            return images.mean((1, 2, 3)) > 0.5

    class Array(nn.Module):
        def forward(self, images):
            return images.detach().mean((1, 2, 3)).numpy()

    wrapped = Thresholded(Array(), 0.5)
    of_array = "a ndarray from Array"
    for detector, got in ((Decided(), "torch.bool from Decided"), (Array(), of_array), (wrapped, of_array)):
        with pytest.raises(ValueError, match=f"tensor of real scores .*got {got}: .* attacks.Estimation and Square"):
            ATTACKS[name](classifier, images, detector=detector)


class InNumpy(nn.Module):
    """Computes in numpy, and fails on images that take a gradient."""

    def forward(self, images):
        """Return scores (N,)."""
        return torch.from_numpy(images.numpy().mean((1, 2, 3)) - 0.5)


def test_detector_in_numpy_is_told_and_falls_to_an_estimated_gradient(classifier, images):
    wrong = (classifier(images).argmax(1) + 1) % CLASSES  # fooled from the start
    with pytest.warns(
        UserWarning, match=r"no gradient leads from the scores of InNumpy .* attacks.Estimation estimates"
    ):
        plain = ATTACKS["SelectivePGD"].report(classifier, images, wrong, detector=InNumpy())
    estimated = Estimation(attack=ATTACKS["SelectivePGD"], samples=8)
    result = estimated.report(classifier, images, wrong, detector=InNumpy())
    assert (result.scores < plain.scores).all()
    assert (result.success & (result.scores <= 0)).all()


@pytest.mark.parametrize("offered", ["joint", "surrogates"])
def test_pass_of_a_detector_with_another_classifier_is_not_used(offered, classifier, images):
    other = Classifier(SHAPE, CLASSES, widths=(4,)).eval()
    detector = Watcher(other).eval()
    twin = copy.deepcopy(detector)
    twin.joint = twin.surrogates = lambda *_: pytest.fail("asked for the logits of another classifier")
    twin.forward = detector.forward
    attack = SelectivePGD(**WALK, part_weights=(1.0 if offered == "surrogates" else 0.0,))
    found = attack.report(classifier, images, detector=twin)
    with torch.no_grad():
        assert torch.equal(found.success, classifier(found.images).argmax(1) != classifier(images).argmax(1))
        torch.testing.assert_close(found.scores, detector(found.images))
    assert found.success.any()


def test_foreign_detector_has_no_step_of_the_representation(classifier, images):
    attack = Alternating(through_saliency=False)
    for detector in (Casting(1, seed=3), Thresholded(Casting(1, seed=3))):
        with pytest.raises(ValueError, match=r"needs a detector with representation_step, and .* has none: leave out"):
            attack(classifier, images, detector=detector)
