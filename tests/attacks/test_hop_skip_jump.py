"""HopSkipJump: what it sees, what it costs, and how near it comes."""

import pytest
import torch
from torch import nn

from attacks import HopSkipJump, norms
from attacks.hop_skip_jump import _starts
from detectors import Thresholded
from tests.attacks.minimal import SHAPE, nearest, plain, trained_net


@pytest.fixture(scope="module")
def trained():
    """A net of six classes, 24 images, and its predictions."""
    net, images = trained_net(24)
    return net, images, net(images).argmax(1)


class Dark(nn.Module):
    """A detector of two scores that accepts dark images only, and is asked without gradients."""

    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def forward(self, images):
        """Return scores (N,) of 1 or -1."""
        assert not images.requires_grad
        return torch.where(images.mean((1, 2, 3)) > self.limit, 1.0, -1.0)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_every_image_is_fooled_and_more_queries_bring_it_nearer(norm, trained):
    lengths = []
    for queries in (200, 1500):
        result = HopSkipJump(norm=norm, queries=queries).report(*trained)
        assert result.success.all()
        assert result.forward_passes.max() <= queries
        assert result.backward_passes.max() == 0
        lengths.append(getattr(result, norm).median())
    assert lengths[1] < 0.7 * lengths[0]


@pytest.mark.slow
def test_it_comes_as_near_as_foolbox_does_with_as_many_queries(trained):
    foolbox = pytest.importorskip("foolbox")
    net, images, labels = trained
    asked = []
    handle = net.register_forward_hook(lambda _net, inputs, _logits: asked.append(len(inputs[0])))
    wrapped = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        attack = foolbox.attacks.HopSkipJumpAttack(steps=6)
        points = attack.run(wrapped, images, foolbox.criteria.Misclassification(labels))
    handle.remove()
    queries = sum(asked) // len(images)
    result = HopSkipJump(queries=queries).report(net, images, labels)
    assert result.l2.median() <= 1.05 * norms.l2(points - images).median()


def test_of_a_linear_model_it_finds_nearly_the_nearest_point():
    model, images = plain(3), 0.3 + 0.4 * torch.rand(12, *SHAPE, dtype=torch.float64)
    labels = model(images).argmax(1)
    result = HopSkipJump(queries=6000).report(model, images, labels)
    ratio = result.l2 / nearest(model, images, labels)
    assert (ratio >= 1 - 1e-6).all()
    assert ratio.median() < 1.25


def test_on_the_system_the_detector_has_to_accept_too(trained):
    net, images, labels = trained
    detector = Dark(images.mean().item())
    alone = HopSkipJump(queries=400).report(net, images, labels)
    assert (detector(alone.images) > 0).any()
    result = HopSkipJump(queries=400, on_system=True).report(net, images, labels, detector=detector)
    same = (result.images == images).flatten(1).all(1)
    assert ((result.success & (result.scores <= 0)) | same).all()
    assert (~same).float().mean() > 0.8
    assert HopSkipJump(on_system=True).needs_detector
    assert not HopSkipJump().needs_detector


def test_a_detector_that_accepts_nothing_costs_the_starts_only(trained):
    net, images, labels = trained
    result = HopSkipJump(on_system=True).report(net, images, labels, detector=Thresholded(Dark(-1.0)))
    assert torch.equal(result.images, images)
    assert (result.forward_passes == _starts(images[0])).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_in_a_budget_points_lie_inside_or_images_come_back_and_who_is_inside_leaves(norm, trained):
    free = HopSkipJump(norm=norm, queries=800).report(*trained)
    epsilon = getattr(free, norm).median().item()
    result = HopSkipJump(norm=norm, queries=800, epsilon=epsilon).report(*trained)
    same = (result.images == trained[1]).flatten(1).all(1)
    assert torch.equal(result.success, ~same)
    assert (getattr(result, norm) <= epsilon).all()
    assert torch.equal(result.success, getattr(free, norm) <= epsilon)
    assert result.forward_passes[result.success].mean() < free.forward_passes.mean()


def test_the_plan_spends_the_queries_and_no_more():
    for queries in (100, 333, 1000, 10000):
        for norm in ("l2", "linf"):
            attack = HopSkipJump(queries=queries, norm=norm)
            image = torch.zeros(SHAPE)
            plan, each = attack._plan(image), 10 + attack._bisections(image.numel())
            spent = _starts(image) + sum(plan) + each * len(plan) - 10
            assert queries - each <= spent <= queries
            assert plan[:3] == [0, 100, 141][: len(plan)] or queries < 400


@pytest.mark.parametrize("arguments", [{"queries": 99}, {"evaluations": 0}, {"epsilon": -1.0}, {"norm": "l1"}])
def test_bad_arguments_are_refused(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"{name}"):
        HopSkipJump(**arguments)
