import math

import pytest
import torch

from saliency.objective import (
    LOG_WEIGHTS,
    MARGIN_WEIGHTS,
    OBJECTIVES,
    Weights,
    log,
    margin,
    total_variation,
)

FUNCTIONS = pytest.mark.parametrize("function", [margin, log])


def _case(count=5, classes=4, dtype=torch.float64):
    masks = torch.rand(count, 1, 4, 3, dtype=dtype) * 0.8 + 0.1
    kept, destroyed = torch.randn(2, count, classes, dtype=dtype)
    labels = torch.arange(count) % classes
    fake = torch.arange(count) % 2 == 0
    return masks, kept, destroyed, labels, fake


def test_margin_equals_the_hinges_computed_by_hand():
    masks = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])
    # row 0 is a true class, 0; row 1 a fake one, of an image whose label is 1
    kept = torch.tensor([[1.25, 1.0, -1.0], [-4.0, -1.0, -2.0]])  # leads .25 and 1: T(1) = .75, N(1) = 2
    destroyed = torch.tensor([[0.0, 3.0, 1.0], [-1.0, -0.5, -3.0]])  # leads -3 and .5: N(5) = 2, T(1) = .5
    terms = margin(masks, kept, destroyed, torch.tensor([0, 1]), torch.tensor([False, True]))
    area = (0.0005**0.3 + 1.0005**0.3) / 2
    assert terms.area.item() == pytest.approx(area, rel=1e-5)
    assert terms.smoothness.item() == 0
    assert terms.preserve.item() == pytest.approx((0.75 + 2) / 2)
    assert terms.destroy.item() == pytest.approx((2 + 0.5) / 2)
    assert terms.total.item() == pytest.approx(8 * area + 0.3 * 1.375 + 1.25, rel=1e-5)


@pytest.mark.parametrize(
    ("fake", "kept", "destroyed", "preserve", "destroy"),
    [
        (False, [2.0, 0.0], [0.0, 6.0], 0, 0),  # shown by 2 > 1, hidden by 6 > 5
        (False, [0.0, 2.0], [2.0, 0.0], 3, 7),
        (False, [0.0, 0.0], [0.0, 5.0], 1, 0),
        (True, [0.0, 2.0], [2.0, 0.0], 0, 0),
        (True, [2.0, 0.0], [0.0, 6.0], 3, 7),
        (True, [0.0, 1.0], [1.0, 0.0], 0, 0),
    ],
)
def test_margin_hinges_stop_where_the_goal_is_reached(fake, kept, destroyed, preserve, destroy):
    terms = margin(
        torch.zeros(1, 1, 2, 2),
        torch.tensor([kept]),
        torch.tensor([destroyed]),
        torch.tensor([0]),
        torch.tensor([fake]),
    )
    assert (terms.preserve.item(), terms.destroy.item()) == (preserve, destroy)


def test_log_equals_the_probabilities_computed_by_hand():
    masks = torch.full((2, 1, 2, 2), 0.5)
    kept = torch.tensor([[0.5, 0.25, 0.25], [0.2, 0.5, 0.3]]).log() + 3
    destroyed = torch.tensor([[0.1, 0.6, 0.3], [0.7, 0.2, 0.1]]).log() - 40
    terms = log(masks, kept, destroyed, torch.tensor([0, 0]), torch.tensor([False, True]))
    preserve = -(math.log(0.5) + math.log(0.7)) / 2
    destroy = (0.1**0.3 + 0.2**0.3) / 2
    assert terms.area.item() == pytest.approx(0.5)
    assert terms.preserve.item() == pytest.approx(preserve, rel=1e-4)
    assert terms.destroy.item() == pytest.approx(destroy, rel=1e-4)
    assert terms.total.item() == pytest.approx(8 * 0.5 + preserve + 5 * destroy, rel=1e-4)


def test_default_weights_are_those_of_the_paper_and_the_authors_code():
    assert Weights(8, 0, 0.3, 1) == MARGIN_WEIGHTS
    assert Weights(8, 0, 1, 5) == LOG_WEIGHTS
    assert {"margin": (margin, MARGIN_WEIGHTS), "log": (log, LOG_WEIGHTS)} == OBJECTIVES


@FUNCTIONS
@pytest.mark.parametrize("term", Weights._fields)
def test_each_weight_multiplies_its_own_term(function, term):
    weights = Weights(0, 0, 0, 0)._replace(**{term: 2.5})
    terms = function(*_case(), weights)
    assert terms.total.item() == pytest.approx(2.5 * getattr(terms, term).item())
    assert terms.total.item() > 0


@FUNCTIONS
def test_gradients_with_respect_to_masks_and_logits_pass_gradcheck(function):
    masks, kept, destroyed, labels, fake = _case()
    leaves = [tensor.clone().requires_grad_() for tensor in (masks, kept, destroyed)]

    def total(*tensors):
        return function(*tensors, labels, fake, Weights(8, 2, 0.3, 1)).total

    assert torch.autograd.gradcheck(total, leaves)


@FUNCTIONS
@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("scale", [0.0, 1e4, -1e4])
def test_loss_and_gradients_are_finite_at_constant_masks_and_saturated_logits(function, value, scale):
    masks = torch.full((4, 1, 3, 3), value, requires_grad=True)
    kept = (scale * torch.eye(4)).requires_grad_()
    destroyed = (scale * torch.eye(4).flip(0)).requires_grad_()
    fake = torch.tensor([False, True, False, True])
    terms = function(masks, kept, destroyed, torch.arange(4), fake)
    gradients = torch.autograd.grad(terms.total, (masks, kept, destroyed))
    assert all(torch.isfinite(value).all() for value in (*terms, *gradients))


@FUNCTIONS
def test_a_mask_larger_by_a_little_costs_more_area(function):
    masks, *rest = _case()
    assert function(masks + 0.05, *rest).area > function(masks, *rest).area


def test_total_variation_of_a_slope_is_the_sum_of_its_squared_steps():
    rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(7.0), indexing="ij")
    masks = torch.stack([0.1 * rows + 0.05 * columns, torch.full((5, 7), 0.3), (rows + columns) % 2])
    assert torch.allclose(total_variation(masks[:, None]), torch.tensor([0.1**2 + 0.05**2, 0.0, 2.0]), atol=1e-6)


def test_smoothness_is_the_mean_total_variation_of_the_masks():
    masks, *rest = _case()
    assert margin(masks, *rest).smoothness.item() == pytest.approx(total_variation(masks).mean().item())
