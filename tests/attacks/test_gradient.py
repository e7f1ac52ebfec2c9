"""FGSM, BIM and MIM against closed forms."""

from dataclasses import FrozenInstanceError

import pytest
import torch
from torch import nn
from torch.nn import functional

from attacks import APGD, BIM, FGSM, MIM, Square
from tests.attacks.cases import BUDGET, OURS, each, linear_model

NAN = float("nan")
SHAPE = (3, 5, 7)

# Auto-PGD and Square give back the first point that fools the model, which need not lie on the ball
SIGNED = {name: attack for name, attack in BUDGET.items() if "L2" not in name and not isinstance(attack, APGD | Square)}


@pytest.fixture
def binary():
    """A linear classifier of two classes in double precision."""
    return linear_model(SHAPE, 2, torch.float64)


@pytest.fixture
def centred():
    """Images far enough from 0 and 1 that an epsilon of .2 is never clipped."""
    return 0.3 + 0.4 * torch.rand(6, *SHAPE, dtype=torch.float64)


def ascent(model, labels):
    """Return the sign of the loss's gradient: that of the other class's weights minus the label's."""
    weight = model[1].weight.detach()
    return (weight[1 - labels] - weight[labels]).sign().view(-1, *SHAPE)


@pytest.mark.parametrize("targeted", [False, True])
def test_fgsm_steps_by_the_sign_of_the_weight_difference(targeted, binary, centred):
    labels = torch.tensor([0, 1, 0, 1, 1, 0])
    adversarial = FGSM(epsilon=0.2, targeted=targeted)(binary, centred, labels)
    expected = centred + (-0.2 if targeted else 0.2) * ascent(binary, labels)
    torch.testing.assert_close(adversarial, expected, rtol=0, atol=1e-12)


@each(SIGNED)
def test_steps_that_leave_the_box_end_on_its_border(attack, binary):
    labels = torch.tensor([0, 1])
    corners = torch.stack([torch.zeros(SHAPE), torch.ones(SHAPE)]).double()
    direction = ascent(binary, labels) * (-1 if attack.targeted else 1)
    expected = (corners + attack.epsilon * direction).clamp(0, 1)
    torch.testing.assert_close(attack(binary, corners, labels), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("make", [BIM, MIM])
@pytest.mark.parametrize(
    ("steps", "step_size", "reached"),
    [(1, 0.05, 0.05), (3, 0.05, 0.15), (4, 0.05, 0.2), (10, 0.05, 0.2), (2, 0.7, 0.2)],
)
def test_constant_direction_goes_steps_times_step_size_and_stops_at_epsilon(
    make, steps, step_size, reached, binary, centred
):
    labels = torch.tensor([0, 1, 0, 1, 1, 0])
    adversarial = make(epsilon=0.2, steps=steps, step_size=step_size)(binary, centred, labels)
    torch.testing.assert_close(adversarial, centred + reached * ascent(binary, labels), rtol=0, atol=1e-12)


def test_one_step_of_bim_is_fgsm(classifier, images, labels):
    one_step = BIM(epsilon=0.1, step_size=0.1, steps=1)
    assert torch.equal(one_step(classifier, images, labels), FGSM(epsilon=0.1)(classifier, images, labels))


@pytest.mark.parametrize("targeted", [False, True])
def test_mim_without_memory_is_bim(targeted, classifier, images, labels):
    plan = {"epsilon": 0.1, "step_size": 0.03, "steps": 6, "targeted": targeted}
    forgetful, plain = MIM(**plan, decay=0), BIM(**plan)
    assert torch.equal(forgetful(classifier, images, labels), plain(classifier, images, labels))
    assert not torch.equal(MIM(**plan)(classifier, images, labels), plain(classifier, images, labels))


def test_mim_follows_its_recurrence(classifier, images, labels):
    classifier, images = classifier.double(), images.double()
    adversarial, momentum = images, torch.zeros_like(images)
    for _ in range(4):
        point = adversarial.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(functional.cross_entropy(classifier(point), labels), point)
        momentum = 0.7 * momentum + gradient / gradient.flatten(1).norm(p=1, dim=1).view(-1, 1, 1, 1)
        stepped = adversarial + 0.04 * momentum.sign()
        adversarial = (images + (stepped - images).clamp(-0.1, 0.1)).clamp(0, 1)
    result = MIM(epsilon=0.1, step_size=0.04, steps=4, decay=0.7)(classifier, images, labels)
    torch.testing.assert_close(result, adversarial, rtol=0, atol=1e-9)


class Vanishing(nn.Module):
    """A classifier whose gradient is exactly zero from a mean of .52 on."""

    def forward(self, images):
        """Return two logits, the second one the image's mean up to .52."""
        mean = images.mean((1, 2, 3))
        return torch.stack([torch.zeros_like(mean), 10 * mean.clamp(max=0.52)], 1)


def test_momentum_carries_on_where_the_gradient_vanishes():
    images, labels = torch.full((1, 1, 4, 4), 0.5, dtype=torch.float64), torch.zeros(1, dtype=torch.long)
    plan = {"epsilon": 0.2, "step_size": 0.03, "steps": 10}
    torch.testing.assert_close(MIM(**plan)(Vanishing(), images, labels), images + 0.2, rtol=0, atol=1e-12)
    torch.testing.assert_close(BIM(**plan)(Vanishing(), images, labels), images + 0.03, rtol=0, atol=1e-12)


def test_tiny_gradients_survive_a_large_batch():
    model = linear_model((1, 1, 1), 2)
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[0.0], [1e-7]]))
        model[1].bias.copy_(torch.tensor([80.0, 0.0]))  # the gradient is about 1e-42; a mean over the batch gives 0
    images = torch.full((4096, 1, 1, 1), 0.5)
    adversarial = FGSM(epsilon=0.1)(model, images, torch.zeros(4096, dtype=torch.long))
    torch.testing.assert_close(adversarial, images + 0.1)


@each(SIGNED)
def test_iterative_attacks_make_the_loss_at_least_as_large_as_one_step(attack, classifier, images, labels):
    def loss(adversarial):
        return functional.cross_entropy(classifier(adversarial), labels).item() * (-1 if attack.targeted else 1)

    one_step = FGSM(epsilon=attack.epsilon, targeted=attack.targeted)
    assert loss(attack(classifier, images, labels)) >= loss(one_step(classifier, images, labels)) - 1e-6


@pytest.mark.parametrize("make", [FGSM, BIM, MIM])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_epsilon_0_gives_exactly_the_images(make, dtype, classifier, images, labels):
    images = images.to(dtype)
    assert torch.equal(make(epsilon=0)(classifier.to(dtype), images, labels), images)


@pytest.mark.parametrize("make", [FGSM, BIM, MIM])
def test_epsilon_1_breaks_the_linear_classifier(make, linear, images):
    assert make(epsilon=1.0).report(linear, images).success.all()


@pytest.mark.parametrize(
    ("make", "wrong", "message"),
    [
        (make, wrong, message)
        for makes, wrong, message in [
            ([FGSM, BIM, MIM], {"epsilon": -0.1}, r"epsilon must be finite and at least 0, got -0\.1"),
            ([FGSM, BIM, MIM], {"epsilon": NAN}, r"epsilon must be finite and at least 0, got nan"),
            ([FGSM, BIM, MIM], {"epsilon": float("inf")}, r"epsilon must be finite and at least 0, got inf"),
            ([BIM, MIM], {"steps": 0}, r"steps must be at least 1, got 0"),
            ([BIM, MIM], {"steps": -3}, r"steps must be at least 1, got -3"),
            ([BIM, MIM], {"step_size": -0.01}, r"step_size must be finite and at least 0, got -0\.01"),
            ([BIM, MIM], {"step_size": NAN}, r"step_size must be finite and at least 0, got nan"),
            ([MIM], {"decay": -1.0}, r"decay must be finite and at least 0, got -1"),
            ([MIM], {"decay": NAN}, r"decay must be finite and at least 0, got nan"),
        ]
        for make in makes
    ],
)
def test_hyper_parameters_out_of_range_are_refused(make, wrong, message):
    with pytest.raises(ValueError, match=message):
        make(**wrong)


@each(OURS)
def test_hyper_parameters_cannot_be_changed(attack):
    with pytest.raises(FrozenInstanceError):
        attack.epsilon = 0.5
    with pytest.raises(FrozenInstanceError):
        attack.targeted = True


def test_attacks_of_the_same_hyper_parameters_are_equal():
    assert FGSM(epsilon=0.1) == FGSM(epsilon=0.1)
    assert FGSM(epsilon=0.1) != FGSM(epsilon=0.2)
    assert BIM() != MIM()
