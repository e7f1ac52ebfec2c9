"""BIM confined to a region, until it has succeeded."""

import pytest
import torch
from torch import nn

from attacks import BIM, LocalizedBIM
from attacks.norms import linf
from tests.attacks.cases import linear_model

SHAPE = (3, 6, 6)


@pytest.fixture
def net():
    """A small net of four classes in double precision, of sharp opinions."""
    layers = nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(96, 4)
    net = nn.Sequential(*layers).double().requires_grad_(requires_grad=False)
    for layer in (net[0], net[3]):
        layer.weight *= 3
    net[3].bias -= net(torch.rand(64, *SHAPE, dtype=torch.float64)).mean(0)
    return net


@pytest.fixture
def batch():
    return torch.rand(12, *SHAPE, dtype=torch.float64)


@pytest.fixture
def region():
    """A window of another place for each image."""
    region = torch.zeros(12, 1, 6, 6, dtype=torch.float64)
    for i in range(12):
        region[i, :, i % 3 : i % 3 + 4, i % 2 : i % 2 + 4] = 1
    return region


def goal_probability(net, images, labels, targeted):
    own = net(images).softmax(1).gather(1, labels[:, None]).squeeze(1)
    return own if targeted else 1 - own


def goals(net, batch, targeted):
    """The labels to leave, or as targets the second most likely classes."""
    return net(batch).topk(2, 1).indices[:, int(targeted)]


@pytest.mark.parametrize("targeted", [False, True])
def test_each_image_stops_at_the_first_step_that_reaches_the_probability(targeted, net, batch, region):
    labels = goals(net, batch, targeted)
    plan, probability = {"step_size": 0.02, "targeted": targeted}, 0.6 if targeted else 0.9
    result = LocalizedBIM(**plan, steps=60, probability=probability).report(net, batch, labels, region=region)
    assert result.success.sum() >= 4
    assert len(result.forward_passes[result.success].unique()) > 2
    for i in result.success.nonzero().squeeze(1).tolist():
        steps = int(result.forward_passes[i]) - 1
        one, mask = slice(i, i + 1), region[i : i + 1]
        path = [batch[one]]
        path += [
            BIM(**plan, epsilon=1.0, steps=count)(net, batch[one], labels[one], region=mask)
            for count in (steps - 1, steps)
            if count > 0
        ]
        torch.testing.assert_close(result.images[one], path[-1], rtol=0, atol=1e-9)
        assert goal_probability(net, path[-1], labels[one], targeted) >= probability
        assert goal_probability(net, path[-2], labels[one], targeted) < probability


@pytest.mark.parametrize("targeted", [False, True])
def test_what_is_not_given_back_has_the_probability(targeted, net, batch, region):
    labels = goals(net, batch, targeted)
    attack = LocalizedBIM(step_size=0.02, steps=30 if targeted else 4, probability=0.8, targeted=targeted)
    result = attack.report(net, batch, labels, region=region)
    reached = goal_probability(net, result.images, labels, targeted) >= 0.8 - 1e-9
    given_back = (result.images == batch).flatten(1).all(1)
    assert torch.equal(reached, ~given_back)
    assert 0 < reached.sum() < 12


def test_pixels_outside_the_region_stay_to_the_bit(net, batch, region):
    result = LocalizedBIM(step_size=0.05, steps=40, probability=0.7)(net, batch, region=region)
    assert torch.equal(result * (1 - region), batch * (1 - region))
    assert not torch.equal(result, batch)


def test_without_a_region_the_whole_image_changes():
    model, images = linear_model(SHAPE, 2, torch.float64), torch.full((2, *SHAPE), 0.5, dtype=torch.float64)
    result = LocalizedBIM(step_size=0.01, steps=100, probability=0.6).report(model, images)
    assert result.success.all()
    assert (result.l0 == 108).all()


@pytest.mark.parametrize("epsilon", [0.03, 0.1])
def test_epsilon_is_respected_and_used_up(epsilon, net, batch, region):
    attack = LocalizedBIM(epsilon=epsilon, step_size=0.02, steps=40, probability=0.5)
    result = attack.report(net, batch, region=region)
    assert (linf(result.images - batch) <= epsilon + 1e-12).all()
    model = linear_model(SHAPE, 2, torch.float64).requires_grad_(requires_grad=False)
    images, labels = torch.full((1, *SHAPE), 0.5, dtype=torch.float64), torch.zeros(1, dtype=torch.long)
    weight = model[1].weight[1] - model[1].weight[0]
    lead = model(images).diff().item()
    model[1].bias[1] -= lead + 0.999 * epsilon * weight.abs().sum()  # the corner of the ball is just enough
    found = LocalizedBIM(epsilon=epsilon, step_size=0.02, steps=40, probability=0.5).report(model, images, labels)
    assert found.success.item()
    torch.testing.assert_close(found.images, images + epsilon * weight.sign().view_as(images), rtol=0, atol=1e-12)
    less = LocalizedBIM(epsilon=0.99 * epsilon, step_size=0.02, steps=40, probability=0.5).report(model, images, labels)
    assert torch.equal(less.images, images)


@pytest.mark.parametrize("targeted", [False, True])
def test_an_image_that_cannot_get_there_comes_back_to_the_bit_after_all_steps(targeted, net, batch, region):
    labels = goals(net, batch, targeted)
    attack = LocalizedBIM(epsilon=1e-4, step_size=1e-4, steps=5, probability=0.9999, targeted=targeted)
    result = attack.report(net, batch, labels, region=region)
    assert not result.success.any()
    assert torch.equal(result.images, batch)
    assert (result.forward_passes == 6).all()
    assert (result.backward_passes == 5).all()


def test_a_step_is_looked_at_even_if_it_is_the_last():
    model = linear_model(SHAPE, 2, torch.float64).requires_grad_(requires_grad=False)
    images, labels = torch.full((1, *SHAPE), 0.5, dtype=torch.float64), torch.zeros(1, dtype=torch.long)
    weight = model[1].weight[1] - model[1].weight[0]
    model[1].bias[1] -= model(images).diff().item() + 0.25 * weight.abs().sum()  # three steps of .1
    plan = {"step_size": 0.1, "probability": 0.5}
    assert LocalizedBIM(**plan, steps=3).report(model, images, labels).success.item()
    assert not LocalizedBIM(**plan, steps=2).report(model, images, labels).success.item()


@pytest.mark.parametrize("targeted", [False, True])
def test_images_that_are_there_come_back_unchanged_after_one_pass(targeted, net, batch):
    labels = net(batch).argmax(1)
    labels = labels if targeted else (labels + 1) % 4
    attack = LocalizedBIM(step_size=0.1, steps=5, probability=0.01, targeted=targeted)
    result = attack.report(net, batch, labels)
    assert torch.equal(result.images, batch)
    assert (result.forward_passes == 1).all()


def test_neighbours_change_neither_result_nor_passes(net, batch, region):
    labels = net(batch).argmax(1)
    attack = LocalizedBIM(step_size=0.02, steps=20, probability=0.8)
    together = attack.report(net, batch, labels, region=region)
    for i in range(12):
        one = slice(i, i + 1)
        alone = attack.report(net, batch[one], labels[one], region=region[one])
        torch.testing.assert_close(alone.images, together.images[one], rtol=0, atol=1e-9)
        assert alone.forward_passes[0] == together.forward_passes[i]
        assert alone.backward_passes[0] == together.backward_passes[i]


@pytest.mark.parametrize("probability", [0.0, 1.0, -0.5, 1.5, float("nan")])
def test_probability_out_of_range_is_refused(probability):
    with pytest.raises(ValueError, match=r"probability must be (below 1|finite and above 0), got"):
        LocalizedBIM(probability=probability)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"epsilon": -1.0}, {"step_size": float("inf")}])
def test_hyper_parameters_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        LocalizedBIM(**wrong)
