"""JSMA against advertorch's, and what both attacks on few values promise."""

import pytest
import torch
from torch import nn

from attacks import JSMA, GreedyL0
from attacks.adapter import import_advertorch
from attacks.problem import Problem
from tests.attacks.cases import linear_model

SHAPES = [(1, 6, 6), (3, 4, 4)]


def balanced(model, shape):
    """The model in double precision, its last bias such that no class leads on average."""
    model = model.double().requires_grad_(requires_grad=False)
    model[-1].bias -= model(inner(64, shape)).mean(0)
    return model


def dense(shape, classes=4, seed=0):
    """A small fully connected net with kinks, in double precision."""
    torch.manual_seed(seed)
    size = torch.Size(shape).numel()
    return balanced(nn.Sequential(nn.Flatten(), nn.Linear(size, 24), nn.ReLU(), nn.Linear(24, classes)), shape)


def convolutional(shape, classes=4, seed=0):
    """A small convolutional net, in double precision."""
    torch.manual_seed(seed)
    layers = nn.Conv2d(shape[0], 5, 3, padding=1), nn.Softplus(), nn.Flatten()
    return balanced(nn.Sequential(*layers, nn.Linear(5 * shape[1] * shape[2], classes)), shape)


def inner(count, shape):
    """Images whose values all have room on both sides."""
    return 0.05 + 0.85 * torch.rand(count, *shape, dtype=torch.float64)


def steerable(shape, classes=4):
    """A linear model that one or two values can turn, in double precision."""
    return linear_model(shape, classes, torch.float64).requires_grad_(requires_grad=False)


@pytest.mark.parametrize("theta", [1.0, 0.3, -1.0, -0.4])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("make", [dense, convolutional])
def test_changes_what_advertorch_changes(make, shape, theta):
    succeeded = 0
    for seed in range(3):
        model = make(shape, seed=seed)
        images = inner(8, shape)
        targets = (model(images).argmax(1) + 1 + torch.arange(8) % 3) % 4
        for gamma in (0.3, 1.0):
            ours = JSMA(targeted=True, theta=theta, gamma=gamma).report(model, images, targets)
            reference = import_advertorch().JacobianSaliencyMapAttack(model, 4, theta=theta, gamma=gamma)
            theirs = reference.perturb(images, targets)
            torch.testing.assert_close(ours.images[ours.success], theirs[ours.success], rtol=0, atol=1e-12)
            assert torch.equal(ours.success, model(theirs).argmax(1) == targets)
            succeeded += int(ours.success.sum())
    assert succeeded >= 10


@pytest.mark.parametrize("theta", [0.25, -0.25])
def test_every_value_changes_once_and_by_theta(theta):
    images = 0.3 + 0.4 * torch.rand(8, 1, 6, 6, dtype=torch.float64)
    model = dense((1, 6, 6))
    result = JSMA(theta=theta, targeted=True).report(model, images, (model(images).argmax(1) + 1) % 4)
    change = result.images - images
    assert (result.l0 > 2).any()
    torch.testing.assert_close(change[change != 0], torch.full_like(change[change != 0], theta))


@pytest.mark.parametrize("gamma", [0.0, 0.02, 0.03, 0.1, 0.25, 1.0])
@pytest.mark.parametrize("make", [JSMA, GreedyL0])
def test_gamma_limits_the_number_of_values_changed(make, gamma):
    model, images = dense((1, 6, 6)), inner(16, (1, 6, 6))
    targets = (model(images).argmax(1) + 1) % 4
    for attack in (make(gamma=gamma), make(gamma=gamma, targeted=True)):
        result = attack.report(model, images, targets if attack.targeted else None)
        assert (result.l0 <= int(36 * gamma)).all()


@pytest.mark.parametrize("make", [JSMA, GreedyL0])
def test_gamma_is_used_up_to_its_end(make):
    model, images = steerable((1, 6, 6), 2), torch.full((1, 1, 6, 6), 0.5, dtype=torch.float64)
    weight = torch.linspace(1, 2, 36, dtype=torch.float64)
    model[1].weight.copy_(torch.stack([-weight, weight]))
    room = 2 * 0.5 * weight.sort(descending=True).values.cumsum(0)
    model[1].bias.copy_(torch.stack([weight.sum() + (room[4] + room[5]) / 2, 0 * weight.sum()]))
    labels = torch.zeros(1, dtype=torch.long)
    assert make(gamma=6 / 36).report(model, images, labels).l0.item() == 6
    assert not make(gamma=5.9 / 36).report(model, images, labels).success.item()


@pytest.mark.parametrize("attack", [JSMA(gamma=0.12), JSMA(gamma=0.12, theta=-1.0), GreedyL0(gamma=0.06)], ids=repr)
@pytest.mark.parametrize("targeted", [False, True])
def test_failures_come_back_to_the_bit(attack, targeted):
    model, images = dense((1, 6, 6)), inner(32, (1, 6, 6))
    model[-1].bias[0] += 0.1
    labels = model(images).argmax(1)
    attack = type(attack)(**{**vars(attack), "targeted": targeted})
    result = attack.report(model, images, (labels + 1) % 4 if targeted else labels)
    assert 0 < result.success.sum() < 32
    assert torch.equal(result.images[~result.success], images[~result.success])
    assert (result.l0[result.success] > 0).all()


@pytest.mark.parametrize(("theta", "stuck", "moved"), [(1.0, 0.995, 0.985), (-1.0, 0.005, 0.015)])
def test_values_within_a_hundredth_of_the_end_are_not_moved(theta, stuck, moved):
    model = steerable((1, 4, 4), 2)
    weight = torch.ones(16, dtype=torch.float64) * theta
    model[1].weight.copy_(torch.stack([-weight, weight]))
    model[1].bias.copy_(torch.tensor([100.0, 0.0]))
    images = torch.full((1, 1, 4, 4), stuck, dtype=torch.float64)
    images[..., 1, :] = moved
    free = JSMA(theta=theta)._free(images)
    assert torch.equal(free, images == moved)
    with torch.no_grad():  # all four free values are just enough
        lead = model(images).diff().item() + 2 * 3.5 * 0.015
    model[1].bias.copy_(torch.tensor([100.0 + lead, 0.0]))
    result = JSMA(theta=theta).report(model, images, torch.zeros(1, dtype=torch.long))
    assert result.success.item()
    assert torch.equal(result.images != images, free)


def drawn_targets(problem, classes):
    return JSMA()._goals(problem.labels, classes, JSMA()._draws(problem))[0]


def test_drawn_targets_are_never_the_label_and_vary_with_image_and_generator():
    model, images = dense((1, 6, 6), classes=5), inner(40, (1, 6, 6))
    labels = torch.arange(40) % 5
    drawn = torch.stack([drawn_targets(Problem(model, images, labels, seed=seed), 5) for seed in range(4)])
    assert (drawn != labels).all()
    shifts = (drawn - labels) % 5
    assert all(set(row.tolist()) == {1, 2, 3, 4} for row in shifts)
    assert (drawn[1:] != drawn[0]).any(1).all()


def test_untargeted_results_vary_with_the_generator_and_repeat_with_it():
    model, images = dense((1, 6, 6)), inner(16, (1, 6, 6))
    first, again, other = (JSMA()(model, images, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_untargeted_attack_is_the_targeted_one_on_the_targets_drawn():
    model, images = dense((1, 6, 6)), inner(16, (1, 6, 6))
    labels = model(images).argmax(1)
    targets = drawn_targets(Problem(model, images, labels), 4)
    untargeted = JSMA().report(model, images, labels)
    targeted = JSMA(targeted=True).report(model, images, targets)
    assert targeted.success.sum() > 8
    assert torch.equal(untargeted.images[targeted.success], targeted.images[targeted.success])


@pytest.mark.parametrize("attack", [JSMA(), JSMA(theta=-1.0), GreedyL0()], ids=repr)
def test_models_of_two_classes_work(attack):
    model, images = dense((1, 6, 6), classes=2), inner(16, (1, 6, 6))
    labels = model(images).argmax(1)
    result = attack.report(model, images, labels)
    assert result.success.sum() >= 8
    assert torch.equal(model(result.images[result.success]).argmax(1), 1 - labels[result.success])


@pytest.mark.parametrize(("make", "gradients"), [(JSMA, 2), (GreedyL0, 1)])
def test_a_step_costs_one_pass_forward_and_its_gradients(make, gradients):
    model = dense((1, 6, 6))
    for image in inner(6, (1, 6, 6)):
        target = (model(image[None]).argmax(1) + 1) % 4
        result = make(targeted=True).report(model, image[None], target)
        if result.success.item():
            steps = result.l0.item() / 2
            assert result.forward_passes.item() == steps + 1
            assert result.backward_passes.item() == gradients * steps


@pytest.mark.parametrize("make", [JSMA, GreedyL0])
def test_neighbours_change_no_result_and_at_most_the_gradients_of_a_last_look(make):
    model, images = dense((1, 6, 6)), inner(6, (1, 6, 6))
    targets = (model(images).argmax(1) + 1) % 4
    together = make(targeted=True).report(model, images, targets)
    for i in range(6):
        alone = make(targeted=True).report(model, images[i : i + 1], targets[i : i + 1])
        torch.testing.assert_close(alone.images[0], together.images[i], rtol=0, atol=1e-12)
        assert alone.forward_passes[0] == together.forward_passes[i]
        assert 0 <= together.backward_passes[i] - alone.backward_passes[0] <= 2


@pytest.mark.parametrize("theta", [1.0, -1.0])
def test_an_image_without_a_pair_does_not_stop_its_neighbours(theta):
    model, images = dense((1, 6, 6)), inner(4, (1, 6, 6))
    images[1] = 1.0 if theta > 0 else 0.0  # no value has room
    targets = (model(images).argmax(1) + 1) % 4
    result = JSMA(theta=theta, targeted=True)(model, images, targets)
    alone = JSMA(theta=theta, targeted=True)(model, images[:1], targets[:1])
    assert torch.equal(result[1], images[1])
    torch.testing.assert_close(result[:1], alone, rtol=0, atol=1e-12)


def test_greedy_changes_fewer_values_than_jsma():
    changed = {JSMA: 0.0, GreedyL0: 0.0}
    for seed in range(3):
        model, images = convolutional((1, 6, 6), seed=seed), inner(16, (1, 6, 6))
        targets = (model(images).argmax(1) + 1) % 4
        results = {make: make(targeted=True).report(model, images, targets) for make in changed}
        both = results[JSMA].success & results[GreedyL0].success
        assert results[GreedyL0].success.sum() >= results[JSMA].success.sum()
        assert both.sum() >= 4
        for make, result in results.items():
            changed[make] += result.l0[both].sum().item()
    assert changed[GreedyL0] <= changed[JSMA]


def test_greedy_moves_values_to_the_ends_only():
    model, images = convolutional((3, 4, 4)), inner(16, (3, 4, 4))
    result = GreedyL0().report(model, images)
    ends = result.images[result.images != images]
    assert len(ends)
    assert ((ends == 0) | (ends == 1)).all()


@pytest.mark.parametrize("targeted", [False, True])
def test_greedy_takes_the_largest_gains_of_a_linear_model(targeted):
    model, images = steerable((1, 5, 5), 2), inner(8, (1, 5, 5))
    labels = torch.arange(8) % 2
    weight = (model[1].weight[1 - labels] - model[1].weight[labels]).view_as(images)  # of leaving the label
    gains = torch.where(weight > 0, weight * (1 - images), -weight * images).flatten(1)
    best, order = gains.sort(1, descending=True)
    model[1].bias.zero_()
    behind = -(weight * images).flatten(1).sum(1)
    for i in range(8):
        threshold = (best[i, :5].sum() + best[i, :6].sum()) / 2  # reached by six values, not by four
        bias = torch.zeros(2, dtype=torch.float64)
        bias[labels[i]] = threshold - behind[i]
        model[1].bias.copy_(bias)
        given = (1 - labels if targeted else labels)[i : i + 1]
        result = GreedyL0(targeted=targeted).report(model, images[i : i + 1], given)
        changed = (result.images != images[i : i + 1]).flatten().nonzero().squeeze(1)
        assert set(changed.tolist()) == set(order[i, :6].tolist())
        expected = images[i].flatten().scatter(0, changed, (weight[i].flatten()[changed] > 0).double())
        assert torch.equal(result.images.flatten(), expected)


@pytest.mark.parametrize("make", [JSMA, GreedyL0])
@pytest.mark.parametrize("gamma", [-0.1, 1.1, float("nan")])
def test_gamma_out_of_range_is_refused(make, gamma):
    with pytest.raises(ValueError, match="gamma"):
        make(gamma=gamma)


@pytest.mark.parametrize("theta", [0.0, 1.5, -1.5, float("nan")])
def test_theta_out_of_range_is_refused(theta):
    with pytest.raises(ValueError, match="theta must be in"):
        JSMA(theta=theta)
