"""Carlini and Wagner's attack against closed forms and two other implementations, and their defects."""

import pytest
import torch

from attacks import CarliniWagnerL2
from attacks.adapter import import_advertorch
from tests.attacks.cases import linear_model
from tests.attacks.minimal import SHAPE, at_distance, nearest, plain, trained_net

QUICK = {"steps": 60, "learning_rate": 0.05, "search_steps": 4, "initial_constant": 1.0}


@pytest.fixture(scope="module")
def trained():
    """The small net and images of its patterns."""
    return trained_net(16)


@pytest.mark.parametrize("classes", [2, 10])
def test_linear_model_is_crossed_close_to_its_nearest_boundary(classes):
    model, images = plain(classes), 0.4 + 0.2 * torch.rand(16, *SHAPE, dtype=torch.float64)
    labels = model(images).argmax(1)
    plan = {"steps": 150, "learning_rate": 0.01, "search_steps": 6, "initial_constant": 1.0}
    result = CarliniWagnerL2(**plan).report(model, images, labels)
    distance = nearest(model, images, labels)
    far = distance > 0.01
    assert far.sum() >= 8
    assert result.success.all()
    assert (result.l2 >= distance).all()
    assert (result.l2[far] <= 1.25 * distance[far]).all()
    assert (result.l2[far] / distance[far]).mean() < 1.05


def test_not_longer_than_advertorch_at_the_same_numbers(trained):
    net, images = trained
    labels = net(images).argmax(1)
    ours = CarliniWagnerL2(**QUICK).report(net, images, labels)
    parameters = {"max_iterations": 60, "learning_rate": 0.05, "binary_search_steps": 4, "initial_const": 1.0}
    theirs = import_advertorch().CarliniWagnerL2Attack(net, 6, **parameters).perturb(images, labels)
    assert (net(theirs).argmax(1) != labels).all()
    assert ours.success.all()
    assert ours.l2.mean() <= torch.linalg.vector_norm((theirs - images).flatten(1), dim=1).mean()


def test_not_longer_than_foolbox_at_the_same_numbers(trained):
    foolbox = pytest.importorskip("foolbox")
    net, images = trained
    labels = net(images).argmax(1)
    ours = CarliniWagnerL2(**QUICK).report(net, images, labels)
    parameters = {"steps": 60, "stepsize": 0.05, "binary_search_steps": 4, "initial_const": 1.0}
    attack = foolbox.attacks.L2CarliniWagnerAttack(**parameters)
    _, theirs, success = attack(foolbox.PyTorchModel(net, bounds=(0, 1)), images, labels, epsilons=None)
    assert success.all()
    assert ours.success.all()
    assert ours.l2.mean() <= torch.linalg.vector_norm((theirs - images).flatten(1), dim=1).mean()


@pytest.mark.slow
@pytest.mark.parametrize("colour", [0.0, 1.0])
def test_black_and_white_images_move_in_a_hundred_steps(colour):
    model = linear_model(SHAPE, 2).requires_grad_(requires_grad=False)
    weight = (1 - 2 * colour) * torch.ones(64)
    model[1].weight.copy_(torch.stack([-weight, weight]))
    images, labels = torch.full((2, *SHAPE), colour), torch.zeros(2, dtype=torch.long)
    model[1].bias.copy_(torch.tensor([2 * 64 * 0.01, 0]) - torch.tensor([-1, 1]) * weight.sum() * colour)
    result = CarliniWagnerL2(steps=100, learning_rate=0.01).report(model, images, labels)
    assert result.success.all()
    assert (result.l2 < 1.25 * 0.01 * 8).all()
    parameters = {"max_iterations": 100, "learning_rate": 0.01, "binary_search_steps": 5, "initial_const": 0.01}
    textbook = import_advertorch().CarliniWagnerL2Attack(model, 2, **parameters).perturb(images, labels)
    assert (model(textbook).argmax(1) == labels).all()


@pytest.mark.slow
@pytest.mark.parametrize("shift", [-50.0, 50.0])
@pytest.mark.parametrize("targeted", [False, True])
def test_the_level_of_the_logits_does_not_matter(shift, targeted):
    model, images = plain(4), torch.rand(8, *SHAPE, dtype=torch.float64)
    labels = model(images).argmax(1)
    labels = (labels + 1) % 4 if targeted else labels
    attack = CarliniWagnerL2(**QUICK, targeted=targeted)
    before = attack.report(model, images, labels)
    model[1].bias += shift
    assert (model(images) * shift > 0).all()
    after = attack.report(model, images, labels)
    assert before.success.all()
    assert after.success.all()
    torch.testing.assert_close(after.l2, before.l2, rtol=0.02, atol=2e-3)


@pytest.mark.slow
def test_neighbours_change_neither_result_nor_passes(trained):
    net, images = trained
    net, images = net.double(), images.double()
    try:
        labels = net(images).argmax(1)
        together = CarliniWagnerL2(**QUICK).report(net, images, labels)
        assert len(together.forward_passes.unique()) > 2  # some are aborted earlier than others
        assert together.forward_passes.min() < 240
        for i in range(0, 16, 4):
            alone = CarliniWagnerL2(**QUICK).report(net, images[i : i + 1], labels[i : i + 1])
            torch.testing.assert_close(alone.images[0], together.images[i], rtol=0, atol=1e-8)
            assert alone.forward_passes[0] == together.forward_passes[i]
            assert alone.backward_passes[0] == together.backward_passes[i]
    finally:
        net.float()


def test_without_abort_every_constant_takes_all_its_steps(trained):
    net, images = trained
    result = CarliniWagnerL2(steps=7, search_steps=3, abort_early=False).report(net, images, net(images).argmax(1))
    assert (result.forward_passes == 21).all()
    assert (result.backward_passes == 21).all()


def test_images_that_fail_come_back_to_the_bit(trained):
    net, images = trained
    labels = net(images).argmax(1)
    result = CarliniWagnerL2(steps=15, learning_rate=0.03, search_steps=1, initial_constant=0.5).report(
        net, images, labels
    )
    assert 0 < result.success.sum() < 16
    assert torch.equal(result.images[~result.success], images[~result.success])
    nothing = CarliniWagnerL2(steps=1, search_steps=1)(net, images, labels)
    assert torch.equal(nothing, images)


@pytest.mark.slow
def test_misclassified_images_come_back_unchanged(trained):
    net, images = trained
    labels = (net(images).argmax(1) + 1) % 6
    assert torch.equal(CarliniWagnerL2(**QUICK)(net, images, labels), images)


@pytest.mark.slow
@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("confidence", [0.0, 0.5, 3.0])
def test_the_lead_is_at_least_the_confidence(confidence, targeted, trained):
    net, images = trained
    net, images = net.double(), images.double()
    try:
        own = net(images).argmax(1)
        labels = (own + 2) % 6 if targeted else own
        result = CarliniWagnerL2(**QUICK, confidence=confidence, targeted=targeted).report(net, images, labels)
        logits = net(result.images)
        rest = logits.scatter(1, labels[:, None], -torch.inf).amax(1) - logits.gather(1, labels[:, None])[:, 0]
        assert result.success.all()
        assert ((-rest if targeted else rest) >= confidence - 1e-9).all()
    finally:
        net.float()


@pytest.mark.slow
def test_confidence_makes_perturbations_longer_by_its_share_on_a_linear_model():
    model = plain(2)
    images = at_distance(model, 8, 0.2)
    steepness = (model[1].weight[0] - model[1].weight[1]).norm()
    plan = {"steps": 150, "learning_rate": 0.01, "search_steps": 6, "initial_constant": 1.0}
    result = CarliniWagnerL2(**plan, confidence=0.1).report(model, images)
    expected = 0.2 + 0.1 / steepness
    assert ((result.l2 >= expected - 1e-9) & (result.l2 < 1.1 * expected)).all()


@pytest.mark.slow
def test_only_the_region_changes_and_its_own_distance_is_found():
    model = plain(2)
    images = at_distance(model, 8, 0.1)
    region = torch.zeros(8, 1, 8, 8)
    region[..., 2:6] = 1
    direction = (model[1].weight[0] - model[1].weight[1]).view(SHAPE)
    expected = 0.1 * direction.norm() / (direction * region[0]).norm()
    plan = {"steps": 150, "learning_rate": 0.01, "search_steps": 6, "initial_constant": 1.0}
    result = CarliniWagnerL2(**plan).report(model, images, region=region)
    assert torch.equal(result.images * (1 - region), images * (1 - region))
    assert ((result.l2 >= expected) & (result.l2 < 1.1 * expected)).all()


@pytest.mark.slow
def test_the_constant_grows_tenfold_until_it_suffices_for_each_image_alone():
    model = plain(2)
    images = torch.cat([at_distance(model, 1, 0.1), at_distance(model, 1, 0.5)])
    steepness = (model[1].weight[0] - model[1].weight[1]).norm().item()
    needed = torch.tensor([2 * 0.1, 2 * 0.5]) / steepness  # below it the minimum lies before the boundary
    start = 0.0175 * needed[0].item()
    first = [int((start * 10 ** torch.arange(8.0) > value).nonzero()[0]) for value in needed]
    assert first == [2, 3]
    for search_steps in (2, 3, 4):
        plan = {"steps": 120, "learning_rate": 0.002, "initial_constant": start, "search_steps": search_steps}
        success = CarliniWagnerL2(**plan).report(model, images).success
        assert success.tolist() == [search_steps > index for index in first]


def test_a_constant_far_too_large_is_bisected():
    model = plain(2)
    images = at_distance(model, 8, 0.2)
    lengths = [
        CarliniWagnerL2(**{**QUICK, "learning_rate": 0.02, "initial_constant": 100.0, "search_steps": steps})
        .report(model, images)
        .l2.mean()
        for steps in (1, 4, 9)
    ]
    assert lengths[0] >= lengths[1] >= lengths[2]
    assert lengths[2] < 1.05 * 0.2


@pytest.mark.slow
@pytest.mark.parametrize("more", [{"steps": 120}, {"search_steps": 6}])
def test_more_effort_gives_no_longer_perturbations(more, trained):
    net, images = trained
    labels = net(images).argmax(1)
    less, most = (CarliniWagnerL2(**plan).report(net, images, labels) for plan in (QUICK, QUICK | more))
    assert most.success.all()
    assert most.l2.mean() <= 1.01 * less.l2.mean()


def test_the_targeted_form_reaches_each_target(trained):
    net, images = trained
    for shift in (1, 3, 5):
        targets = (net(images).argmax(1) + shift) % 6
        result = CarliniWagnerL2(**QUICK, targeted=True).report(net, images, targets)
        assert torch.equal(net(result.images).argmax(1), targets)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"confidence": -1.0}, "confidence must be finite and at least 0, got -1.0"),
        ({"learning_rate": 0.0}, "learning_rate must be finite and above 0, got 0.0"),
        ({"initial_constant": 0.0}, "initial_constant must be finite and above 0, got 0.0"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"search_steps": 0}, "search_steps must be at least 1, got 0"),
    ],
)
def test_hyper_parameters_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        CarliniWagnerL2(**wrong)
