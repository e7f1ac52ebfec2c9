"""Which way each step goes, by hand, on a linear classifier and a linear detector."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

from attacks import Alternating, Joint, JointLoss, OrthogonalPGD, SelectivePGD
from attacks.margin import lead
from attacks.norms import l2
from tests.attacks.cases import linear_model

SHAPE = (1, 4, 4)
STEP = 0.01
ONE = {"epsilon": 0.2, "step_size": STEP, "steps": 1, "schedule": "constant"}


class Recorder(nn.Module):
    """A linear detector that remembers where it was asked."""

    def __init__(self, offset=0.0):
        super().__init__()
        drawn = torch.randn(16, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
        self.weight, self.offset, self.seen = drawn, offset, []

    def forward(self, images):
        """Return scores (N,)."""
        self.seen.append(images.detach().clone())
        return images.flatten(1) @ self.weight - self.offset


@pytest.fixture
def model():
    """Two classes, so that the margin's gradient is one direction; the image is 1 ahead."""
    made = linear_model(SHAPE, 2, torch.float64).requires_grad_(requires_grad=False)
    made[1].weight.normal_()
    lead = (made(torch.full((1, *SHAPE), 0.5, dtype=torch.float64)) @ torch.tensor([1.0, -1.0], dtype=torch.float64))[0]
    made[1].bias[0] -= lead - 1.0
    return made


@pytest.fixture
def grey():
    return torch.full((2, *SHAPE), 0.5, dtype=torch.float64)


def labels_of(*, fooled, targeted):
    """The labels with which the attack's goal is reached at the grey image, of class 0, or is not."""
    return torch.full((2,), int(fooled != targeted))


def steps_of(attack, model, images, labels):
    """The change of the first step (N, C, H, W), the gradients of resistance and score, and the detector."""
    detector = Recorder()
    attack(model, images, labels, detector=detector)
    toward = (model[1].weight[1] - model[1].weight[0]) * (1 - 2 * labels[0])  # away from the label
    resistance = (toward if attack.targeted else -toward).view(SHAPE)
    change = detector.seen[1] - detector.seen[0]
    assert torch.equal(detector.seen[0], images)
    return change, resistance, detector.weight.view(SHAPE)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("fooled", [False, True])
def test_selective_step_goes_against_the_model_until_it_is_fooled_then_against_the_detector(
    fooled, targeted, norm, model, grey
):
    labels = labels_of(fooled=fooled, targeted=targeted)
    attack = SelectivePGD(**ONE, norm=norm, targeted=targeted)
    change, resistance, suspicion = steps_of(attack, model, grey, labels)
    descent = suspicion if fooled else resistance
    expected = descent.sign() if norm == "linf" else descent / descent.norm()
    torch.testing.assert_close(change, -STEP * expected.expand_as(change))


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("fooled", [False, True])
def test_orthogonal_step_in_l2_lowers_one_and_leaves_the_other(fooled, targeted, model, grey):
    labels = labels_of(fooled=fooled, targeted=targeted)
    change, resistance, suspicion = steps_of(OrthogonalPGD(**ONE, norm="l2", targeted=targeted), model, grey, labels)
    own, other = (suspicion, resistance) if fooled else (resistance, suspicion)
    expected = own - other * (own * other).sum() / other.square().sum()
    torch.testing.assert_close(change, (-STEP * expected / expected.norm()).expand_as(change))
    assert ((change * other).sum((1, 2, 3)).abs() < 1e-12).all()
    assert ((change * own).sum((1, 2, 3)) < 0).all()  # down, in all four modes


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("fooled", [False, True])
def test_orthogonal_step_in_linf_takes_the_sign_afterwards(fooled, targeted, model, grey):
    labels = labels_of(fooled=fooled, targeted=targeted)
    change, resistance, suspicion = steps_of(OrthogonalPGD(**ONE, targeted=targeted), model, grey, labels)
    own, other = (suspicion, resistance) if fooled else (resistance, suspicion)
    expected = own - other * (own * other).sum() / other.square().sum()
    torch.testing.assert_close(change, (-STEP * expected.sign()).expand_as(change))
    assert ((change * own).sum((1, 2, 3)) < 0).all()


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("kind", [SelectivePGD, OrthogonalPGD])
def test_score_falls_from_step_to_step_once_the_model_is_fooled(kind, targeted, model, grey):
    detector = Recorder()
    attack = kind(**ONE | {"steps": 6}, norm="l2", targeted=targeted)
    labels = labels_of(fooled=True, targeted=targeted)
    model[1].weight.mul_(1e-3)  # it stays fooled
    attack(model, grey, labels, detector=detector)
    scores = [(points.flatten(1) @ detector.weight)[0] for points in detector.seen]
    assert all(after < before for before, after in pairwise(scores))


@pytest.mark.parametrize("factor", [1e-20, 1e20])
def test_orthogonal_step_does_not_mind_the_scale_of_a_gradient(factor, model, grey):
    labels = labels_of(fooled=False, targeted=False)
    expected, *_ = steps_of(OrthogonalPGD(**ONE, norm="l2"), model, grey, labels)
    detector = Recorder()
    detector.weight = detector.weight * factor
    OrthogonalPGD(**ONE, norm="l2")(model, grey, labels, detector=detector)
    torch.testing.assert_close(detector.seen[1] - detector.seen[0], expected)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_joint_step_mixes_two_signs(weight, model, grey):
    labels = labels_of(fooled=False, targeted=False)
    change, resistance, suspicion = steps_of(Joint(**ONE, weights=(weight,)), model, grey, labels)
    expected = -STEP * ((1 - weight) * resistance.sign() + weight * suspicion.sign())
    torch.testing.assert_close(change, expected.expand_as(change))


def test_joint_loss_steps_against_the_weighted_sum(model, grey):
    labels = labels_of(fooled=False, targeted=False)
    attack = JointLoss(**ONE, search_steps=1, initial_weight=0.4, norm="l2")
    change, resistance, suspicion = steps_of(attack, model, grey, labels)
    descent = resistance + 0.4 * suspicion
    torch.testing.assert_close(change, (-STEP * descent / descent.norm()).expand_as(change))


def test_joint_loss_searches_the_weight_of_each_image(model, grey):
    # never misclassified: a tenth each time; always: tenfold
    stubborn, easy = (labels_of(fooled=fooled, targeted=False) for fooled in (False, True))
    model[1].weight.mul_(1e-3)
    labels = torch.stack([stubborn[0], easy[0]])
    detector = Recorder()
    attack = JointLoss(**ONE, search_steps=3, norm="l2")
    attack(model, grey, labels, detector=detector)
    toward = (model[1].weight[1] - model[1].weight[0]).view(SHAPE)
    for search, factor in enumerate((1.0, 10.0, 100.0)):
        changes = detector.seen[2 * search + 1] - detector.seen[2 * search]
        for change, sign, weight in zip(changes, (1, -1), (1 / factor, factor), strict=True):
            descent = -sign * toward + weight * detector.weight.view(SHAPE)
            torch.testing.assert_close(change, -STEP * descent / descent.norm())


def alternated(model, detector, images, labels, *, steps, accumulate, targeted=False):
    """Equations 3 and 4, for one image after the other."""
    results = []
    for image, label in zip(images, labels, strict=True):
        point = image[None]
        for _ in range(steps):
            margin = lead(model(point), label[None])[0] * (-1 if targeted else 1)
            if margin >= 0:
                seen = point.clone().requires_grad_()
                functional.cross_entropy(model(seen), label[None]).backward()
                origin = point if accumulate else image[None]
                point = (origin + (-1 if targeted else 1) * STEP * seen.grad.sign()).clamp(0, 1)
            if (point.flatten(1) @ detector.weight - detector.offset)[0] > 0:
                origin = point if accumulate else image[None]
                point = (origin - STEP * detector.weight.view(1, *SHAPE).sign()).clamp(0, 1)
        results.append(point)
    return torch.cat(results)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("update", ["accumulate", "literal"])
def test_alternation_is_the_equations(update, targeted, model):
    images = 0.4 + 0.2 * torch.rand(12, *SHAPE, dtype=torch.float64)
    detector = Recorder()
    detector.offset = (images.flatten(1) @ detector.weight).median().item() - 0.3
    labels = model(images).argmax(1)
    labels = 1 - labels if targeted else labels
    attack = Alternating(step_size=STEP, steps=8, update=update, targeted=targeted)
    expected = alternated(
        model, detector, images, labels, steps=8, accumulate=update == "accumulate", targeted=targeted
    )
    result = attack(model, images, labels, detector=detector)
    torch.testing.assert_close(result, expected)
    assert (result != images).flatten(1).any(1).all()


def test_literal_detector_step_overwrites_the_classifiers(model, grey):
    detector = Recorder(offset=-1e3)  # rejects whatever comes
    attack = Alternating(step_size=STEP, update="literal")
    result = attack(model, grey, labels_of(fooled=False, targeted=False), detector=detector)
    torch.testing.assert_close(result, (grey - STEP * detector.weight.view(SHAPE).sign()))


@pytest.mark.parametrize("update", ["accumulate", "literal"])
def test_images_that_fool_both_stand_still(update, model, grey):
    detector = Recorder(offset=1e3)
    labels = labels_of(fooled=True, targeted=False)
    attack = Alternating(step_size=STEP, update=update)
    assert torch.equal(attack(model, grey, labels, detector=detector), grey)


def test_alternation_keeps_to_its_budget(model, grey):
    detector = Recorder(offset=-1e3)
    labels = labels_of(fooled=False, targeted=False)
    free = Alternating(step_size=STEP, steps=20)
    assert (free(model, grey, labels, detector=detector) - grey).abs().max() > 0.1
    bound = replace(free, epsilon=0.025)(model, grey, labels, detector=detector) - grey
    assert bound.abs().max() == pytest.approx(0.025)


@pytest.mark.parametrize("kind", [SelectivePGD, OrthogonalPGD, Joint])
def test_walk_in_l2_stays_in_its_ball(kind, model, grey):
    attack = kind(epsilon=0.1, step_size=0.08, steps=10, norm="l2")
    result = attack(model, grey, labels_of(fooled=False, targeted=False), detector=Recorder(offset=-1e3))
    assert (l2(result - grey) <= 0.1 + 1e-12).all()


def test_gradients_that_are_not_finite_do_not_end_the_walk(model, grey):
    class Rooted(Recorder):
        def forward(self, images):
            return super().forward(images) + 1 + 0 * (images[:, 0, 0, 0] - 0.5).clamp(min=0).sqrt()

    detector, labels = Rooted(), labels_of(fooled=True, targeted=False)
    with torch.no_grad():
        before = detector(grey)
    for attack in (SelectivePGD(**ONE | {"steps": 5}), Alternating(step_size=STEP)):
        result = attack.report(model, grey, labels, detector=detector)
        assert result.images.isfinite().all()
        assert (result.scores < before).all()


SIGNED = {
    "alternating": Alternating(step_size=0.1),
    "joint": Joint(epsilon=0.5, step_size=0.1, steps=5, weights=(0.0,)),
}


@pytest.mark.parametrize("name", SIGNED)
def test_saturated_softmax_hides_nothing(name, model):
    images = torch.rand(8, *SHAPE, dtype=torch.float64)
    labels = model(images).argmax(1)
    with torch.no_grad():
        model[1].weight.mul_(1e6)
        model[1].bias.mul_(1e6)
    adversarial = SIGNED[name](model, images, labels, detector=Accepts())
    assert (model(adversarial).argmax(1) != labels).all()


class Accepts(nn.Module):
    """Rejects nothing."""

    def forward(self, images):
        return images.flatten(1).sum(1) * 0 - 1


class Corner(nn.Module):
    """Logits of three classes: the second gains by the first pixel, the third by the second one."""

    def forward(self, images):
        """Return logits (N, 3)."""
        first, second = images[:, 0, 0, 0], images[:, 0, 0, 1]
        return torch.stack([torch.full_like(first, 0.7), first + 0.1, second], 1)


class Watched(nn.Module):
    """A score that rises with the first pixel."""

    def forward(self, images):
        """Return scores (N,)."""
        return 10 * (images[:, 0, 0, 0] - 0.55)


class Never(nn.Module):
    """It rejects nothing."""

    def forward(self, images):
        """Return scores (N,)."""
        return images.mean((1, 2, 3)) - 2


@pytest.mark.parametrize("attack", [SelectivePGD, OrthogonalPGD])
def test_a_walk_to_the_second_nearest_class_passes_where_the_nearest_is_watched(attack):
    grey = torch.full((1, 1, 1, 2), 0.5)
    label = torch.zeros(1, dtype=torch.long)
    won = {}
    for goals in (0, 1, 2):
        result = attack(epsilon=0.3, steps=20, goals=goals).report(Corner(), grey, label, detector=Watched())
        won[goals] = bool(result.success & (result.scores <= 0))
        assert result.forward_passes == 21 * (1 + goals) + min(goals, 1)
    assert won == {0: False, 1: False, 2: True}


def test_images_that_are_won_walk_to_no_further_class():
    grey = torch.full((1, 1, 1, 2), 0.5)
    result = SelectivePGD(epsilon=0.3, steps=20, goals=2).report(
        Corner(), grey, torch.zeros(1, dtype=torch.long), detector=Never()
    )
    assert result.success.all()
    assert result.forward_passes == 21 + 1
