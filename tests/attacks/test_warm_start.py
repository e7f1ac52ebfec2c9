"""The warm start of Carlini and Wagner's problem against closed forms and the original."""

import pytest
import torch

from attacks import CarliniWagnerL2, DeepFool, WarmCarliniWagnerL2
from tests.attacks.minimal import SHAPE, at_distance, plain, trained_net


@pytest.fixture(scope="module")
def trained():
    """The small net in double precision and images of its patterns."""
    net, images = trained_net(16)
    return net.double(), images.double()


@pytest.mark.parametrize("distance", [0.02, 0.2, 0.5])
def test_linear_model_is_crossed_close_to_its_boundary(distance):
    model = plain(2)
    result = WarmCarliniWagnerL2().report(model, at_distance(model, 16, distance))
    assert result.success.all()
    assert (result.l2 >= distance).all()
    assert (result.l2 <= 1.03 * distance).all()


@pytest.mark.parametrize("confidence", [0.05, 0.5])
def test_linear_model_is_crossed_by_the_confidence(confidence):
    model = plain(2)
    images = at_distance(model, 16, 0.2)
    expected = 0.2 + confidence / (model[1].weight[0] - model[1].weight[1]).norm()
    result = WarmCarliniWagnerL2(confidence=confidence).report(model, images)
    assert ((result.l2 >= expected - 1e-9) & (result.l2 <= 1.1 * expected)).all()


@pytest.mark.parametrize("distance", [0.02, 0.5])
def test_targets_of_a_linear_model_are_reached_close_to_their_boundary(distance):
    model = plain(2)
    images = at_distance(model, 16, distance)
    result = WarmCarliniWagnerL2(targeted=True).report(model, images, torch.ones(16, dtype=torch.long))
    assert result.success.all()
    assert ((result.l2 >= distance) & (result.l2 <= 1.1 * distance)).all()


@pytest.mark.slow
def test_not_longer_than_deepfool_and_about_as_short_as_the_original(trained):
    net, images = trained
    labels = net(images).argmax(1)
    warm = WarmCarliniWagnerL2().report(net, images, labels)
    walked = DeepFool().report(net, images, labels)
    plan = {"steps": 60, "learning_rate": 0.03, "search_steps": 4, "initial_constant": 1.0}
    original = CarliniWagnerL2(**plan).report(net, images, labels)
    assert warm.success.all()
    assert (warm.l2 <= walked.l2).all()
    assert warm.l2.mean() < 0.99 * walked.l2.mean()
    assert warm.l2.mean() < 1.03 * original.l2.mean()


def test_it_costs_its_steps_and_the_start(trained):
    net, images = trained
    labels = net(images).argmax(1)
    walked = DeepFool().report(net, images, labels)
    result = WarmCarliniWagnerL2(steps=15).report(net, images, labels)
    assert torch.equal(result.forward_passes, walked.forward_passes + 15)
    assert torch.equal(result.backward_passes, walked.backward_passes + 14)  # the last step only looks


@pytest.mark.parametrize("overshoot", [0.02, 0.2, 1.0])
def test_from_the_image_a_linear_model_takes_one_step_and_the_overshoot(overshoot):
    model, labels = plain(2), torch.zeros(16, dtype=torch.long)
    attack = WarmCarliniWagnerL2(start="image", steps=1, overshoot=overshoot)
    result = attack.report(model, at_distance(model, 16, 0.2), labels)
    beyond = 1e-4 / (model[1].weight[0] - model[1].weight[1]).norm()
    expected = torch.full_like(result.l2, (1 + overshoot) * (0.2 + beyond.item()))
    torch.testing.assert_close(result.l2, expected, rtol=1e-6, atol=0)
    assert result.forward_passes.tolist() == [2] * 16
    assert result.backward_passes.tolist() == [1] * 16


def test_from_the_image_it_is_cheaper_and_somewhat_longer(trained):
    net, images = trained
    labels = net(images).argmax(1)
    quick = WarmCarliniWagnerL2(start="image", steps=1, overshoot=0.2).report(net, images, labels)
    walked = DeepFool().report(net, images, labels)
    assert quick.success.all()
    assert quick.backward_passes.sum() < 0.6 * walked.backward_passes.sum()
    assert quick.l2.mean() < 1.4 * walked.l2.mean()
    descended = WarmCarliniWagnerL2(start="image").report(net, images, labels)
    assert (descended.backward_passes <= descended.forward_passes).all()
    assert descended.l2.mean() < 1.15 * WarmCarliniWagnerL2().report(net, images, labels).l2.mean()


def test_targeted_it_starts_from_the_image_in_any_case(trained):
    net, images = trained
    targets = (net(images).argmax(1) + 1) % 6
    either = [WarmCarliniWagnerL2(targeted=True, start=start)(net, images, targets) for start in ("deepfool", "image")]
    assert torch.equal(*either)


@pytest.mark.parametrize("colour", [0.0, 1.0])
def test_black_and_white_images_move(colour):
    model = plain(2)
    weight = (1 - 2 * colour) * torch.ones(64, dtype=torch.float64)
    model[1].weight.copy_(torch.stack([-weight, weight]))
    model[1].bias.copy_(torch.tensor([2 * 64 * 0.01, 0]) - torch.tensor([-1, 1]) * weight.sum() * colour)
    images, labels = torch.full((2, *SHAPE), colour, dtype=torch.float64), torch.zeros(2, dtype=torch.long)
    result = WarmCarliniWagnerL2().report(model, images, labels)
    assert result.success.all()
    assert (result.l2 < 1.1 * 0.01 * 8).all()


@pytest.mark.parametrize("shift", [-50.0, 50.0])
@pytest.mark.parametrize("targeted", [False, True])
def test_the_level_of_the_logits_does_not_matter(shift, targeted):
    model, images = plain(4), torch.rand(8, *SHAPE, dtype=torch.float64)
    labels = model(images).argmax(1)
    labels = (labels + 1) % 4 if targeted else labels
    attack = WarmCarliniWagnerL2(targeted=targeted)
    before = attack.report(model, images, labels)
    model[1].bias += shift
    after = attack.report(model, images, labels)
    assert before.success.all()
    assert after.success.all()
    torch.testing.assert_close(after.l2, before.l2, rtol=0.05, atol=3e-3)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("confidence", [0.0, 0.5, 3.0])
def test_the_lead_is_at_least_the_confidence(confidence, targeted, trained):
    net, images = trained
    own = net(images).argmax(1)
    labels = (own + 2) % 6 if targeted else own
    result = WarmCarliniWagnerL2(confidence=confidence, targeted=targeted).report(net, images, labels)
    logits = net(result.images)
    rest = logits.scatter(1, labels[:, None], -torch.inf).amax(1) - logits.gather(1, labels[:, None])[:, 0]
    lead = -rest if targeted else rest
    assert result.success.float().mean() >= 0.8
    assert (lead[result.success] >= confidence - 1e-9).all()
    assert torch.equal(result.images[~result.success], images[~result.success])


def test_the_targeted_form_reaches_targets_and_gives_failures_back_to_the_bit(trained):
    net, images = trained
    reached = []
    for shift in (1, 3, 5):
        targets = (net(images).argmax(1) + shift) % 6
        result = WarmCarliniWagnerL2(targeted=True).report(net, images, targets)
        assert torch.equal(net(result.images).argmax(1) == targets, result.success)
        assert torch.equal(result.images[~result.success], images[~result.success])
        reached.append(result.success.double().mean())
    assert min(reached) >= 0.9


@pytest.mark.parametrize("targeted", [False, True])
def test_an_unreachable_goal_gives_the_images_back_to_the_bit(targeted):
    model, images = plain(3), torch.rand(4, *SHAPE, dtype=torch.float64)
    model[1].bias.copy_(torch.tensor([1000.0, 0, 0]))
    labels = torch.full((4,), int(targeted), dtype=torch.long)
    result = WarmCarliniWagnerL2(targeted=targeted).report(model, images, labels)
    assert not result.success.any()
    assert torch.equal(result.images, images)


@pytest.mark.parametrize("targeted", [False, True])
def test_images_that_need_no_change_come_back_unchanged(targeted, trained):
    net, images = trained
    own = net(images).argmax(1)
    attack = WarmCarliniWagnerL2(targeted=targeted)
    assert torch.equal(attack(net, images, own if targeted else (own + 1) % 6), images)


@pytest.mark.parametrize("targeted", [False, True])
def test_only_the_region_changes_and_its_own_distance_is_found(targeted):
    model = plain(2)
    images = at_distance(model, 8, 0.1)
    region = torch.zeros(8, 1, 8, 8)
    region[..., 2:6] = 1
    direction = (model[1].weight[0] - model[1].weight[1]).view(SHAPE)
    expected = 0.1 * direction.norm() / (direction * region[0]).norm()
    labels = torch.full((8,), int(targeted), dtype=torch.long)
    result = WarmCarliniWagnerL2(targeted=targeted).report(model, images, labels, region=region)
    assert torch.equal(result.images * (1 - region), images * (1 - region))
    assert ((result.l2 >= expected) & (result.l2 < 1.1 * expected)).all()


@pytest.mark.parametrize("targeted", [False, True])
def test_neighbours_change_neither_result_nor_passes_but_for_the_last_gradient(targeted, trained):
    net, images = trained
    labels = net(images).argmax(1)
    labels = (labels + 1) % 6 if targeted else labels
    attack = WarmCarliniWagnerL2(targeted=targeted)
    together = attack.report(net, images, labels)
    assert len(together.forward_passes.unique()) > 1
    for i in range(0, 16, 3):
        alone = attack.report(net, images[i : i + 1], labels[i : i + 1])
        torch.testing.assert_close(alone.images[0], together.images[i], rtol=0, atol=1e-8)
        assert alone.forward_passes[0] == together.forward_passes[i]
        spared = together.backward_passes[i] - alone.backward_passes[0]
        assert 0 <= spared <= 1  # the last one, where no image of the batch needs it


def test_more_steps_give_no_longer_perturbations(trained):
    net, images = trained
    labels = net(images).argmax(1)
    lengths = [WarmCarliniWagnerL2(steps=steps).report(net, images, labels).l2.mean() for steps in (1, 10, 20, 60)]
    assert lengths[0] >= lengths[1] >= 0.999 * lengths[2] >= 0.998 * lengths[3]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"confidence": -1.0}, "confidence must be finite and at least 0, got -1.0"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"step_size": 0.0}, "step_size must be finite and above 0, got 0.0"),
        ({"step_size": 0.6}, "step_size must be at most 0.5, got 0.6"),
        ({"constant_rate": 0.0}, "constant_rate must be finite and above 0, got 0.0"),
        ({"overshoot": -0.1}, "overshoot must be finite and at least 0, got -0.1"),
        ({"start": "boundary"}, "unknown start 'boundary'. Accepted: deepfool, image"),
    ],
)
def test_hyper_parameters_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        WarmCarliniWagnerL2(**wrong)
