"""DeepFool against closed forms and foolbox's, and its active set."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from attacks import DeepFool
from tests.attacks.minimal import SHAPE, nearest, plain, trained_net


def inner(count):
    """Images far from 0 and 1."""
    return 0.4 + 0.2 * torch.rand(count, *SHAPE, dtype=torch.float64)


@pytest.fixture(scope="module")
def trained():
    """The small net and images of its patterns."""
    return trained_net(24)


class StuckWhereBright(nn.Module):
    """A model whose logits do not change with images whose first value is above .9."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        """Return the model's logits, or constant ones in favour of class 0."""
        bright = images[:, 0, 0, 0, None].detach() > 0.9
        logits = self.model(images)
        return torch.where(bright, logits * 0 + torch.arange(logits.shape[1], 0, -1), logits)


@pytest.mark.parametrize("classes", [2, 3, 5, 10, 30])
def test_linear_model_is_crossed_at_its_nearest_boundary(classes):
    model, images = plain(classes), inner(32)
    labels = model(images).argmax(1)
    result = DeepFool(candidates=classes).report(model, images, labels)
    distance = nearest(model, images, labels)
    assert result.success.all()
    assert (result.l2 >= 1.02 * distance).all()
    assert (result.l2 <= 1.0205 * (distance + 1e-4)).all()  # the distance, and what it takes to cross
    assert (result.l2 / distance).median() < 1.03


@pytest.mark.parametrize("overshoot", [0.0, 0.1, 0.5])
def test_overshoot_is_a_share_of_the_perturbation(overshoot):
    model, images = plain(4), inner(16)
    labels = model(images).argmax(1)
    result = DeepFool(overshoot=overshoot).report(model, images, labels)
    expected = (1 + overshoot) * (nearest(model, images, labels) + 1e-4)
    torch.testing.assert_close(result.l2, expected, rtol=1e-4, atol=0)


def test_perturbation_of_a_linear_model_points_along_the_weights():
    model, images = plain(2), inner(8)
    labels = model(images).argmax(1)
    direction = model[1].weight[1 - labels] - model[1].weight[labels]
    change = (DeepFool()(model, images, labels) - images).flatten(1)
    torch.testing.assert_close(functional.cosine_similarity(change, direction), torch.ones(8).double())


@pytest.mark.parametrize(("steepness", "nearest_class"), [(1.0, 1), (1.2, 1), (1.29, 5)])
def test_nearest_class_is_found_where_its_logit_is_the_lowest(steepness, nearest_class):
    model = plain(6)
    model[1].weight.zero_()
    for other, length in enumerate([1.0, 0.9, 0.9, 0.9, steepness], start=1):  # each on eight values of its own
        model[1].weight[other, 8 * other : 8 * other + 8] = length / 8**0.5
    images = torch.full((1, *SHAPE), 0.5, dtype=torch.float64)
    logits = torch.tensor([0, -0.5, -0.55, -0.58, -0.6, -0.61])
    model[1].bias.copy_(logits - 0.5 * model[1].weight.sum(1))
    result = DeepFool().report(model, images)
    assert model(result.images).argmax(1).item() == nearest_class
    assert result.l2.item() < 1.021 * nearest(model, images, torch.tensor([0])).item()


def test_candidates_limit_the_classes_looked_at():
    model = plain(3)
    model[1].weight.zero_()
    model[1].bias.copy_(torch.tensor([0.0, -0.5, -1.0 - 0.5 * 320]))
    model[1].weight[1, :32] = 1.0
    model[1].bias[1] -= 16
    model[1].weight[2, 32:] = 10.0
    images = torch.full((1, *SHAPE), 0.5, dtype=torch.float64)
    assert model(DeepFool(candidates=2)(model, images)).argmax(1).item() == 1
    assert model(DeepFool(candidates=3)(model, images)).argmax(1).item() == 2


@pytest.mark.parametrize("classes", [2, 4])
def test_more_candidates_than_classes_are_as_many_as_classes(classes):
    model, images = plain(classes), inner(8)
    assert torch.equal(DeepFool(candidates=100)(model, images), DeepFool(candidates=classes)(model, images))


def test_perturbations_are_as_short_as_foolbox_ones(trained):
    foolbox = pytest.importorskip("foolbox")
    net, images = trained
    labels = net(images).argmax(1)
    ours = DeepFool().report(net, images, labels)
    attack = foolbox.attacks.L2DeepFoolAttack(steps=50, candidates=10, overshoot=0.02)
    _, theirs, success = attack(foolbox.PyTorchModel(net, bounds=(0, 1)), images, labels, epsilons=None)
    lengths = torch.linalg.vector_norm((theirs - images).flatten(1), dim=1)
    assert success.all()
    assert ours.success.all()
    assert abs(ours.l2.mean() / lengths.mean() - 1) < 0.02


def test_a_stuck_image_costs_the_others_nothing():
    images = inner(12)
    images[5, 0, 0, 0] = 1.0
    model = StuckWhereBright(plain(4))
    labels = model(images).argmax(1)
    result = DeepFool(steps=30).report(model, images, labels)
    others = torch.arange(12) != 5
    assert result.success.tolist() == others.tolist()
    assert torch.equal(result.images[5], images[5])
    assert result.forward_passes[5] == 31
    assert result.forward_passes[others].max() <= 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_that_fail_come_back_to_the_bit(dtype, trained):
    net, images = trained
    images = images.to(dtype)
    net = net.double() if dtype == torch.float64 else net.float()
    try:
        labels = net(images).argmax(1)
        result = DeepFool(steps=1).report(net, images, labels)
        kept = (result.images == images).flatten(1).all(1)
        assert (~result.success).any()
        assert kept[~result.success].all()
    finally:
        net.float()


def test_misclassified_images_come_back_unchanged_after_one_pass():
    model, images = plain(4), inner(12)
    labels = model(images).argmax(1)
    labels[::3] = (labels[::3] + 1) % 4
    result = DeepFool().report(model, images, labels)
    wrong = torch.arange(12) % 3 == 0
    assert torch.equal(result.images[wrong], images[wrong])
    assert (result.forward_passes[wrong] == 1).all()
    assert (result.l2[~wrong] > 0).all()


def test_images_at_the_ends_of_the_range_succeed():
    model = plain(2)
    weight = torch.linspace(-1, 1, 64, dtype=torch.float64)
    model[1].weight.copy_(torch.stack([-weight, weight]))
    images = torch.stack([torch.zeros(SHAPE), torch.ones(SHAPE), (torch.rand(SHAPE) > 0.5).float()]).double()
    inwards = (torch.where(weight > 0, weight * (1 - images.flatten(1)), -weight * images.flatten(1))).sum(1)
    for image, room in zip(images, inwards, strict=True):
        behind = -2 * (weight * image.flatten()).sum()
        model[1].bias.copy_(torch.stack([room - behind, 0 * room]))  # half of the way in the box is needed
        gap = -model(image[None]).diff().item()
        once = (image.flatten() + 1.02 * gap / (2 * weight).square().sum() * 2 * weight).clamp(0, 1)
        labels = torch.zeros(1, dtype=torch.long)
        assert model(once.view(1, *SHAPE)).argmax(1) == 0  # a single step, clipped afterwards, fails
        result = DeepFool().report(model, image[None], labels)
        assert result.success.all()
        assert result.forward_passes.item() > 2


def test_only_the_region_changes_and_is_the_only_way_looked_at():
    model, images = plain(2), inner(8)
    labels = model(images).argmax(1)
    region = torch.zeros(8, 1, 8, 8)
    region[..., 2:6] = 1
    gap = -nearest(model, images, labels) * torch.linalg.vector_norm(model[1].weight.diff(dim=0))
    reachable = gap.abs() / torch.linalg.vector_norm(model[1].weight.diff(dim=0).view(8, 8) * region[0, 0])
    result = DeepFool().report(model, images, labels, region=region)
    assert torch.equal((result.images - images) * (1 - region), torch.zeros_like(images))
    assert result.success.all()
    assert ((result.l2 / reachable) < 1.05).all()


def test_neighbours_change_neither_result_nor_passes(trained):
    net, images = trained
    net, images = net.double(), images.double()
    try:
        labels = net(images).argmax(1)
        labels[::5] = (labels[::5] + 1) % 6
        together = DeepFool().report(net, images, labels)
        assert len(together.forward_passes.unique()) > 2
        for i in range(0, 24, 2):
            alone = DeepFool().report(net, images[i : i + 1], labels[i : i + 1])
            torch.testing.assert_close(alone.images[0], together.images[i], rtol=0, atol=1e-10)
            assert alone.forward_passes[0] == together.forward_passes[i]
            assert alone.backward_passes[0] == together.backward_passes[i]
    finally:
        net.float()


def test_there_is_no_targeted_form():
    with pytest.raises(ValueError, match="DeepFool has no targeted form: leave out targeted=True"):
        DeepFool(targeted=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"candidates": 1}, "candidates must be at least 2, got 1"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"overshoot": -0.1}, "overshoot must be finite and at least 0, got -0.1"),
    ],
)
def test_hyper_parameters_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        DeepFool(**wrong)
