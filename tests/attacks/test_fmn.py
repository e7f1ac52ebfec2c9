"""FMN against closed forms of linear models and against foolbox, in every norm."""

import pytest
import torch

from attacks import FMN
from attacks.norms import LENGTHS, l2
from tests.attacks.minimal import at_distance, plain, trained_net

THEIRS = {"l0": "L0FMNAttack", "l1": "L1FMNAttack", "l2": "L2FMNAttack", "linf": "LInfFMNAttack"}
DUALS = {"l1": "linf", "l2": "l2", "linf": "l1"}


@pytest.fixture(scope="module")
def trained():
    net, images = trained_net(48)
    return net, images, net(images).argmax(1)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("norm", THEIRS)
def test_is_at_least_as_good_as_foolboxs(norm, targeted, trained):
    foolbox = pytest.importorskip("foolbox")
    net, images, predictions = trained
    labels = (predictions + targeted) % 6
    criterion = foolbox.criteria.TargetedMisclassification if targeted else foolbox.criteria.Misclassification
    model = foolbox.PyTorchModel(net, bounds=(0, 1))
    _, adversarial, theirs = getattr(foolbox.attacks, THEIRS[norm])(steps=100)(
        model, images, criterion(labels), epsilons=None
    )
    ours = FMN(norm=norm, targeted=targeted).report(net, images, labels)
    assert ours.success.all()
    assert theirs.sum() >= 30
    length = LENGTHS[norm]
    found, known = length(ours.images - images)[theirs], length(adversarial - images)[theirs]
    assert found.median() <= 1.01 * known.median()
    assert found.mean() <= 1.01 * known.mean()
    assert (found <= 1.02 * known).float().mean() > 0.85
    if norm in {"l1", "linf"}:  # foolbox does not project in L2, and its L0 breaks ties its own way
        torch.testing.assert_close(found.median(), known.median(), rtol=0.01, atol=0)


@pytest.mark.parametrize("norm", DUALS)
def test_two_classes_are_left_by_the_shortest_way(norm):
    model = plain(2)
    images = at_distance(model, 8, 0.1)
    weight = (model[1].weight[0] - model[1].weight[1])[None]
    shortest = 0.1 * l2(weight) / LENGTHS[DUALS[norm]](weight)
    result = FMN(norm=norm, steps=200).report(model, images)
    lengths = LENGTHS[norm](result.images - images)
    assert result.success.all()
    assert (lengths >= shortest * (1 - 1e-9)).all()
    assert (lengths <= 1.05 * shortest).all()


def test_fewest_values_that_can_do_it_are_changed():
    model = plain(2)
    images = at_distance(model, 8, 0.3)
    weight = (model[1].weight[0] - model[1].weight[1]).view(1, 1, 8, 8)
    # each value can lower the lead by as much as its way to 0 or 1 allows
    gains = (torch.where(weight > 0, images, 1 - images) * weight.abs()).flatten(1).sort(1, descending=True).values
    lead = (model(images)[:, 0] - model(images)[:, 1])[:, None]
    fewest = (gains.cumsum(1) <= lead).sum(1) + 1
    result = FMN(norm="l0", steps=200).report(model, images)
    assert result.success.all()
    assert (result.l0 >= fewest).all()
    assert (result.l0 <= fewest + 1).all()


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_values_at_the_end_of_the_range_do_not_stop_the_walk(norm):
    model = plain(2)
    weight = (model[1].weight[0] - model[1].weight[1]).view(8, 8)
    images = torch.full((1, 1, 8, 8), 0.5, dtype=torch.float64)
    strongest = weight.abs() >= weight.abs().flatten().median()
    images[0, 0][strongest] = (weight[strongest] < 0).double()  # these can only raise the label's lead
    with torch.no_grad():
        model[1].bias[1] += (model(images)[0, 0] - model(images)[0, 1]) - 0.3 * weight.norm() * 0.5
    result = FMN(norm=norm).report(model, images, torch.zeros(1, dtype=torch.long))
    assert result.success.all()


def test_radius_follows_the_distance_to_the_boundary_then_shrinks():
    model, seen = plain(2), []
    images = at_distance(model, 1, 0.5)
    model.register_forward_pre_hook(lambda _model, inputs: seen.append(l2(inputs[0].detach() - images).item()))
    FMN(norm="l2", steps=3, gamma=0.2)(model, images, torch.tensor([0]))
    assert seen[:2] == pytest.approx([0, 0.5], rel=1e-6)  # of a linear model the estimate is exact


def test_images_at_the_goal_already_take_no_step(trained):
    net, images, labels = trained
    mixed = torch.where(torch.arange(48) < 12, (labels + 1) % 6, labels)
    result = FMN(steps=10).report(net, images, mixed)
    assert torch.equal(result.images[:12], images[:12])
    assert result.forward_passes.tolist() == 12 * [1] + 36 * [11]


@pytest.mark.slow
def test_more_steps_are_not_longer(trained):
    means = [FMN(steps=steps).report(*trained).linf.mean() for steps in (10, 50, 200)]
    assert means[0] > means[1] > 0.99 * means[2]


@pytest.mark.parametrize("arguments", [{"gamma": 0}, {"gamma": 1.0}, {"steps": 0}, {"step_size": 0.0}, {"norm": "l3"}])
def test_bad_arguments_are_refused(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=name):
        FMN(**arguments)
