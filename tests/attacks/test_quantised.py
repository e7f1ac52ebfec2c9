"""What is returned lies on the grid, in the ball, and fools; rounding alone would not do."""

from dataclasses import dataclass
from typing import ClassVar

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies
from torch import nn

from attacks import (
    BIM,
    FGSM,
    JSMA,
    PGD,
    Advertorch,
    Alternating,
    Attack,
    DeepFool,
    OneOf,
    Quantised,
    SelectivePGD,
    Transfer,
    WarmCarliniWagnerL2,
    norms,
)
from attacks.quantised import fewest
from tests.attacks.cases import each, goals, linear_model
from tests.attacks.minimal import SHAPE, trained_net

LAST = 255
MINIMAL = {
    "DeepFool": DeepFool(),
    "WarmCarliniWagnerL2": WarmCarliniWagnerL2(steps=8),
    "JSMA": JSMA(theta=0.3),
}
BUDGET = {
    "FGSM": FGSM(epsilon=0.1),
    "BIM": BIM(epsilon=0.1, step_size=0.03, steps=10),
    "off the grid": BIM(epsilon=20.7 / LAST, step_size=0.03, steps=10),
    "PGD-L2": PGD(epsilon=0.6, step_size=0.1, steps=10, norm="l2"),
}


def rounded(images, levels=256):
    """The images as a file holds them."""
    return (images * (levels - 1)).round() / (levels - 1)


@pytest.fixture(scope="module")
def net():
    """A trained net, images of the grid that it tells apart, and its predictions."""
    model, images = trained_net(60)
    images = rounded(images)
    return model, images, model(images).argmax(1)


@pytest.mark.parametrize("levels", [2, 16, 256, 65536])
@each(MINIMAL | BUDGET)
def test_what_is_changed_lies_on_the_grid_to_the_bit_and_fools(attack, levels, net):
    model, images, labels = net
    images = rounded(images, levels)
    labels = model(images).argmax(1)
    result = Quantised(attack=attack, levels=levels).report(model, images, labels)
    same = (result.images == images).flatten(1).all(1)
    assert torch.equal(result.images, rounded(result.images, levels))
    assert torch.equal(result.success, ~same)
    assert result.success.any() or levels == 2


@each(BUDGET)
def test_the_ball_of_the_attack_holds_the_levels_as_well(attack, net):
    model, images, labels = net
    norm = norms.l2 if getattr(attack, "norm", "linf") == "l2" else norms.linf
    result = Quantised(attack=attack).report(model, images, labels)
    assert result.success.float().mean() > 0.5 * attack.report(model, images, labels).success.float().mean() > 0.1
    assert (norm(result.images - images) <= attack.epsilon + 1e-6).all()


@pytest.mark.parametrize("inside", [slice(None), slice(2, 8)])
@pytest.mark.parametrize("levels", [16, 64, 256])
def test_an_l2_ball_keeps_nearly_all_images_off_the_grid_and_all_that_rounding_keeps(levels, inside):
    model, images = trained_net(60)  # not rounded
    labels = model(images).argmax(1)
    region = torch.zeros_like(images, dtype=torch.bool)
    region[:, :, inside, inside] = True
    attack = PGD(epsilon=0.6, step_size=0.15, steps=10, norm="l2")
    found = attack.report(model, images, labels, region=region[:, :1])
    plain = torch.where(region, rounded(found.images, levels), images)
    kept = (model(plain).argmax(1) != labels) & (norms.l2(plain - images) <= attack.epsilon)
    result = Quantised(attack=attack, levels=levels).report(model, images, labels, region=region[:, :1])
    assert not (kept & ~result.success).any()
    assert result.success.sum() > 0.95 * found.success.sum() > 30
    assert (result.l2 <= attack.epsilon + 1e-6).all()
    assert torch.equal(result.images[~region], images[~region])
    narrow = PGD(epsilon=0.2, step_size=0.05, steps=4, norm="l2")  # at 16 levels no grid point of some images is in it
    assert (Quantised(attack=narrow, levels=levels).report(model, images, labels).l2 <= 0.2 + 1e-6).all()


@pytest.mark.parametrize("given", [{"steps": 2.5}, {"levels": 2**17}, {"attack": None}, {"attack": "attacks.DeepFool"}])
def test_what_is_no_attack_and_no_whole_number_of_levels_or_steps_is_refused(given):
    with pytest.raises((TypeError, ValueError), match=r"must be|needs an attack"):
        Quantised(**given)


@pytest.mark.parametrize("levels", [256, 65536])
def test_levels_at_the_edge_of_the_ball_are_in_it(levels):
    model, images = linear_model((1, 5, 5), 2), rounded(0.1 + 0.8 * torch.rand(1, 1, 5, 5), levels)
    epsilon = 8 / (levels - 1)
    with torch.no_grad():
        slope = model[1].weight.diff(dim=0).abs().sum()
        model[1].bias[0] += model(images).diff(dim=1).item() + 0.95 * epsilon * slope  # less would not do
    result = Quantised(attack=FGSM(epsilon=epsilon), levels=levels).report(model, images)
    assert result.success.all()
    torch.testing.assert_close((result.images - images).abs(), torch.full_like(images, epsilon), rtol=0, atol=1e-6)


def test_a_ball_between_two_levels_gives_images_off_the_grid_back():
    images = torch.full((2, 1, 3, 3), 100.5 / LAST)
    weak, enough = FGSM(epsilon=0.4 / LAST), FGSM(epsilon=0.6 / LAST)
    model = linear_model((1, 3, 3), 2)
    with torch.no_grad():
        model[1].bias.zero_()
        model[1].weight.copy_(torch.tensor([[1.0], [-1.0]]).expand(2, 9))
        model[1].bias[1] = 2 * 9 * (100.4 / LAST)
    assert weak.report(model, images).success.all()
    assert torch.equal(Quantised(attack=weak)(model, images), images)
    assert Quantised(attack=enough).report(model, images).success.all()


def test_a_linear_classifier_is_fooled_by_the_fewest_values_that_make_up_for_rounding():
    images = torch.full((1, 1, 2, 5), 100 / LAST)
    model = nn.Sequential(nn.Flatten(), nn.Linear(10, 2))
    weight = torch.tensor([3.0, 2.9, *8 * [1.0]])
    with torch.no_grad():
        model[1].weight.copy_(torch.stack([weight, 0 * weight]))
        # a lead of 7.7: DeepFool's change rounds to one level of the first two values, a gain of 5.9
        model[1].bias.copy_(torch.tensor([-(images.flatten() @ weight).item() + 7.7 / LAST, 0.0]))
    plain = rounded(DeepFool()(model, images))
    assert DeepFool().report(model, images).success.all()
    assert model(plain).argmax(1).item() == 0
    result = Quantised().report(model, images)
    assert result.success.all()
    assert ((result.images - plain) * LAST).round().flatten().tolist() == [-1.0, *9 * [0.0]]
    assert (result.forward_passes - DeepFool().report(model, images).forward_passes).tolist() == [3]


@each(MINIMAL)
def test_no_image_is_lost_that_rounding_leaves_adversarial(attack, net):
    model, images, labels = net
    plain = model(rounded(attack(model, images, labels))).argmax(1) != labels
    result = Quantised(attack=attack).report(model, images, labels)
    assert (result.success | ~plain).all()
    assert result.success.all() or isinstance(attack, JSMA)


def test_rounding_undoes_what_is_repaired_at_little_length(net):
    model, images, labels = net
    before, after = (attack.report(model, images, labels) for attack in (DeepFool(), Quantised()))
    assert (model(rounded(before.images)).argmax(1) != labels).float().mean() < 0.7
    assert after.success.all()
    assert after.l2.mean() < 1.02 * before.l2.mean()


@pytest.mark.parametrize("steps", [0, 1, 4])
@each(MINIMAL)
def test_passes_are_bounded_by_the_repairs(attack, steps, net):
    model, images, labels = net
    inner = attack.report(model, images, labels)
    result = Quantised(attack=attack, levels=8, steps=steps).report(model, images, labels)
    assert (result.forward_passes - inner.forward_passes <= 1 + 2 * steps).all()
    assert (result.backward_passes - inner.backward_passes <= steps).all()
    assert ((result.images == images).flatten(1).all(1) | result.success).all()


def test_failures_of_attacks_that_return_them_are_the_images_to_the_bit(net):
    model, images, labels = net
    weak = FGSM(epsilon=0.02)
    result = Quantised(attack=weak).report(model, images, labels)
    assert 0 < result.success.sum() < len(images)
    assert torch.equal(result.images[~result.success], images[~result.success])


def test_images_off_the_grid_are_rounded_where_they_are_attacked_and_outside_the_region_kept(net):
    model, images, _ = net
    images = (images + 0.4 / LAST).clamp(0, 1)
    region = torch.zeros(1, 1, *SHAPE[1:])
    region[..., :6] = 1
    attack = Quantised(attack=JSMA(theta=0.5, gamma=0.1))
    result = attack.report(model, images, region=region)
    assert 0 < result.success.sum() < len(images)
    hit = result.images[result.success]
    assert torch.equal(hit[..., :6], rounded(hit[..., :6]))
    assert torch.equal(hit[..., 6:], images[result.success][..., 6:])
    assert torch.equal(result.images[~result.success], images[~result.success])


@dataclass(frozen=True, kw_only=True)
class First(Attack):
    """Raises the first value by a bit less than a level and a half."""

    def perturb(self, problem):
        """Return images of which one value changed."""
        images = problem.images.clone()
        images[..., 0, 0] += 1.4 / LAST
        return images


def test_a_repair_moves_only_values_that_the_attack_changed():
    images = torch.full((1, 1, 1, 2), 100 / LAST)
    model = linear_model((1, 1, 2), 2)
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 5.0]]))
        model[1].bias.copy_(torch.tensor([6 * 100 / LAST + 1.3 / LAST, 0.0]))
    result = Quantised(attack=First()).report(model, images)
    assert result.success.all()
    assert ((result.images - images) * LAST).round().flatten().tolist() == [2.0, 0.0]


class Slope(nn.Module):
    """A detector whose score falls along one direction."""

    def __init__(self, direction, height):
        super().__init__()
        self.register_buffer("direction", direction)
        self.height = height

    def forward(self, images):
        """Return scores (N,)."""
        return self.height - (images * self.direction).flatten(1).sum(1)


@pytest.mark.parametrize(("height", "accepted"), [(-1e3, True), (1e3, False)])
def test_with_a_detector_the_goal_is_the_same(height, accepted, net):
    model, images, labels = net
    detector = Slope(torch.ones(SHAPE), height)
    attack = SelectivePGD(epsilon=0.3, steps=10)
    inner = attack.report(model, images, labels, detector=detector)
    attacks = [Quantised(attack=attack, steps=steps) for steps in (0, 5)]
    plain, result = (each.report(model, images, labels, detector=detector) for each in attacks)
    assert inner.success.any()
    assert attacks[0].needs_detector
    assert (result.success | ~plain.success).all()
    assert torch.equal(result.images, rounded(result.images))
    assert ((result.scores <= 0) == accepted).all()
    both = result.success & plain.success
    assert (result.scores <= plain.scores)[both].all()
    assert (result.linf <= 0.3 + 1e-6).all()


@dataclass(frozen=True, kw_only=True)
class Seen(First):
    """The same, of an attack on both."""

    needs_detector: ClassVar[bool] = True


def test_a_score_that_rounding_lifts_above_the_threshold_is_repaired():
    images = torch.full((1, 1, 1, 2), 100 / LAST)
    model = linear_model((1, 1, 2), 2)
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
        model[1].bias.copy_(torch.tensor([100.5 / LAST, 0.0]))
    detector = Slope(torch.tensor([1.0, 0.0]), 101.3 / LAST)
    plain, result = (Quantised(attack=Seen(), steps=steps).report(model, images, detector=detector) for steps in (0, 5))
    assert plain.success.all()  # fooling, though rejected, is kept
    assert plain.scores > 0 >= result.scores
    assert [((each.images - images) * LAST)[0, 0, 0, 0].round().item() for each in (plain, result)] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"levels": 1}, ValueError, "levels must be at least 2, got 1"),
        ({"levels": 2.5}, ValueError, "levels must be a whole number, got 2.5"),
        ({"steps": -1}, ValueError, "steps must be at least 0, got -1"),
        ({"attack": OneOf(attacks=(DeepFool(),))}, TypeError, "OneOf runs others: put it around each of them"),
        ({"attack": Transfer(attack=DeepFool(), model=nn.Flatten())}, TypeError, "Transfer runs others"),
        ({"attack": Quantised()}, TypeError, "Quantised runs others"),
        ({"attack": Advertorch(attack="LinfPGDAttack")}, TypeError, "needs the wrapped attack's norm and epsilon"),
        ({"targeted": True}, ValueError, "Quantised has targeted=True and its DeepFool targeted=False: set both alike"),
    ],
)
def test_what_cannot_be_rounded_is_refused(arguments, error, told):
    with pytest.raises(error, match=told):
        Quantised(**arguments)


def test_whole_numbers_of_numpy_are_whole_numbers():
    assert Quantised(levels=np.int64(16), steps=np.int64(2)) == Quantised(levels=16, steps=2)


def test_it_goes_inside_attacks_that_run_others(net):
    model, images, labels = net
    drawn = OneOf(attacks=(Quantised(), Quantised(attack=FGSM(epsilon=0.2))))(model, images, labels)
    moved = Transfer(attack=Quantised(), model=model)(linear_model(SHAPE, 6), images, labels)
    assert torch.equal(drawn, rounded(drawn))
    assert torch.equal(moved, rounded(moved))


def test_an_attack_without_a_budget_has_no_ball(net):
    model, images, labels = net
    result = Quantised(attack=Alternating()).report(model, images, labels, detector=Slope(torch.ones(SHAPE), 0.0))
    assert torch.equal(result.images, rounded(result.images))


NUMBERS = strategies.floats(0, 4, width=32)


@hypothesis.given(
    rows=strategies.lists(strategies.tuples(NUMBERS, strategies.floats(-3, 3, width=32)), min_size=1, max_size=12),
    needed=strategies.floats(0, 12),
    room=strategies.floats(0, 9),
)
def test_values_taken_have_what_is_needed_or_all_that_there_is_room_for(rows, needed, room):
    gain, cost = torch.tensor(rows, dtype=torch.float64).T[:, None]
    limits = torch.tensor([needed], dtype=torch.float64), torch.tensor([room], dtype=torch.float64)
    taken = fewest(gain, cost, *limits)
    assert (taken * cost).sum() <= room + 1e-9
    assert not (taken * (gain == 0)).any()
    endless = fewest(gain, cost, limits[0], torch.tensor([torch.inf]))
    total = (endless * gain).sum()
    assert total >= min(needed, gain.sum().item()) - 1e-9
    if endless.any():  # without the last one it would not be enough
        assert total - gain[endless.bool()].min() <= needed + 1e-9


@pytest.mark.slow
@hypothesis.settings(max_examples=25, phases=[hypothesis.Phase.generate])
@hypothesis.given(
    levels=strategies.sampled_from([2, 3, 16, 256]),
    attack=strategies.sampled_from([*MINIMAL.values(), *BUDGET.values()]),
    scale=strategies.sampled_from([0.0, 1e-6, 1.0, 1e6]),
    on_grid=strategies.booleans(),
    seed=strategies.integers(0, 99),
)
def test_grid_region_and_goal_whatever_the_call(levels, attack, scale, on_grid, seed):
    torch.manual_seed(seed)
    model = linear_model((1, 4, 4), 3, torch.float64)
    with torch.no_grad():
        model[1].weight.mul_(scale)
    images, region = torch.rand(4, 1, 4, 4, dtype=torch.float64), torch.rand(4, 1, 4, 4) < 0.8
    images = rounded(images, levels) if on_grid else images
    labels = goals(attack, model, images)
    result = Quantised(attack=attack, levels=levels).report(model, images, labels, region=region)
    same = (result.images == images).flatten(1).all(1)
    assert (same | result.success).all()
    assert not ((result.images != images) & ~region).any()
    assert torch.equal(result.images[~same][region[~same]], rounded(result.images, levels)[~same][region[~same]])
    if hasattr(attack, "epsilon"):
        norm = norms.l2 if getattr(attack, "norm", "linf") == "l2" else norms.linf
        assert (norm(result.images - images) <= attack.epsilon + 1e-9).all()
