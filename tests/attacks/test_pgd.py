"""PGD against BIM, advertorch's and closed forms; random starts and restarts."""

from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

from attacks import BIM, PGD
from attacks.adapter import import_advertorch
from attacks.norms import l2, linf
from tests.attacks.cases import linear_model

SHAPE = (3, 5, 7)
SIZE = 105
PLAN = {"epsilon": 0.05, "step_size": 0.02, "steps": 3}


@pytest.fixture
def binary():
    """A linear classifier of two classes in double precision."""
    return linear_model(SHAPE, 2, torch.float64).requires_grad_(requires_grad=False)


@pytest.fixture
def centred():
    """Images that a change of .2 keeps inside of [0, 1]."""
    return 0.3 + 0.4 * torch.rand(8, *SHAPE, dtype=torch.float64)


@pytest.fixture
def bumpy():
    """A net whose loss has many local maxima, in double precision, with the labels that it gives."""
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 3 * 5, 16), nn.ReLU(), nn.Linear(16, 4)
    net = nn.Sequential(*layers).double().requires_grad_(requires_grad=False)
    for layer in (net[0], net[3]):
        layer.weight *= 3
    net[5].bias -= net(torch.rand(64, *SHAPE, dtype=torch.float64)).mean(0)
    return net


def loss_of(model, images, labels):
    return functional.cross_entropy(model(images), labels, reduction="none")


@pytest.mark.parametrize("targeted", [False, True])
def test_from_the_image_it_is_bim(targeted, classifier, images, labels):
    plan = {"epsilon": 0.1, "step_size": 0.03, "steps": 6, "targeted": targeted}
    from_image = PGD(**plan, random_start=False)
    assert torch.equal(from_image(classifier, images, labels), BIM(**plan)(classifier, images, labels))
    assert not torch.equal(PGD(**plan)(classifier, images, labels), BIM(**plan)(classifier, images, labels))


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("random_start", [False, True])
def test_linear_model_takes_it_to_the_end_of_the_ball(norm, targeted, random_start, binary, centred):
    labels = torch.arange(8) % 2
    weight = binary[1].weight
    direction = (weight[1 - labels] - weight[labels]).view_as(centred) * (-1 if targeted else 1)
    unit = direction.sign() if norm == "linf" else direction / l2(direction).view(-1, 1, 1, 1)
    attack = PGD(epsilon=0.2, step_size=0.2, steps=80, norm=norm, targeted=targeted, random_start=random_start)
    atol = 1e-12 if norm == "linf" or not random_start else 1e-6
    torch.testing.assert_close(attack(binary, centred, labels), centred + 0.2 * unit, rtol=0, atol=atol)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(("name", "norm"), [("L2PGDAttack", "l2"), ("LinfPGDAttack", "linf")])
def test_equals_advertorch_where_no_value_is_clipped_to_the_box(name, norm, targeted, bumpy, centred):
    epsilon, step = (0.2, 0.08) if norm == "l2" else (0.1, 0.04)  # with a step beyond the ball, at most .28 a value
    images, labels = centred, torch.arange(8) % 4
    parameters = {"eps": epsilon, "eps_iter": step, "nb_iter": 8, "rand_init": False, "targeted": targeted}
    theirs = getattr(import_advertorch(), name)(bumpy, **parameters).perturb(images, labels)
    plan = {"epsilon": epsilon, "step_size": step, "steps": 8, "norm": norm, "targeted": targeted}
    ours = PGD(**plan, random_start=False)(bumpy, images, labels)
    assert ((theirs > 0) & (theirs < 1)).all()
    assert (l2(theirs - images) > 0.1).all()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("epsilon", [0.01, 0.2])
def test_random_start_is_uniform_in_the_cube(epsilon, binary):
    images = torch.full((64, *SHAPE), 0.5, dtype=torch.float64)
    images[:, 0, 0, 0] += torch.linspace(0, 0.2, 64)  # what is drawn depends on the image
    change = PGD(epsilon=epsilon, step_size=0.0, steps=1)(binary, images) - images
    assert linf(change).max() <= epsilon + 1e-12
    assert linf(change).min() > 0.9 * epsilon
    assert abs(change.mean()) < 0.02 * epsilon
    assert abs(change.abs().mean() / epsilon - 0.5) < 0.02
    assert len(change.flatten(1).unique(dim=0)) == 64


@pytest.mark.parametrize("epsilon", [0.01, 0.4])
def test_random_start_is_uniform_in_the_l2_ball(epsilon):
    shape = (1, 1, 3)  # few values, so that radii differ
    model = linear_model(shape, 2, torch.float64)
    images = torch.full((600, *shape), 0.5, dtype=torch.float64)
    images[:, 0, 0, 0] += torch.linspace(0, 0.05, 600)
    attack = PGD(epsilon=epsilon, step_size=0.0, steps=1, norm="l2")
    change = attack(model, images, torch.zeros(600, dtype=torch.long)) - images
    share = (l2(change) / epsilon) ** 3  # of the volume, uniform in [0, 1]
    assert share.max() <= 1 + 1e-9
    assert abs(share.mean() - 0.5) < 0.04
    assert abs(share.var() - 1 / 12) < 0.015
    assert (change.mean(0).abs() < 0.08 * epsilon).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("random_start", [False, True])
def test_stays_in_ball_and_box(norm, random_start, bumpy):
    images = (1.4 * torch.rand(16, *SHAPE, dtype=torch.float64) - 0.2).clamp(0, 1)
    plan = {"epsilon": 0.1, "step_size": 0.07, "steps": 5, "restarts": 2}
    adversarial = PGD(**plan, norm=norm, random_start=random_start)(bumpy, images, torch.arange(16) % 4)
    length = (linf if norm == "linf" else l2)(adversarial - images)
    assert (length <= 0.1 + 1e-12).all()
    assert (length > 0.05).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("random_start", [False, True])
@pytest.mark.parametrize("targeted", [False, True])
def test_restarts_keep_the_first_success_and_lose_none(norm, random_start, targeted, bumpy):
    images = torch.rand(32, *SHAPE, dtype=torch.float64)
    labels = bumpy(images).argmax(1)
    labels = (labels + 1) % 4 if targeted else labels
    scale = 6 if norm == "l2" else 1
    plan = {"epsilon": 0.03 * scale, "step_size": 0.02 * scale, "steps": 2, "norm": norm, "targeted": targeted}
    before = None
    for restarts in (1, 2, 4, 8):
        result = PGD(**plan, restarts=restarts, random_start=random_start).report(bumpy, images, labels)
        if before is not None:
            assert result.success[before.success].all()
            assert torch.equal(result.images[before.success], before.images[before.success])
        before = result
    assert 0 < before.success.sum() < 32


def test_restarts_find_more_where_the_first_start_is_at_a_wall(bumpy):
    images = torch.rand(64, *SHAPE, dtype=torch.float64)
    labels = bumpy(images).argmax(1)
    plan = {"epsilon": 0.03, "step_size": 0.02, "steps": 2}
    once, often = (PGD(**plan, restarts=restarts).report(bumpy, images, labels) for restarts in (1, 10))
    assert often.success.sum() > once.success.sum()


@pytest.mark.parametrize("targeted", [False, True])
def test_an_image_that_withstands_keeps_the_loss_that_served_best(targeted, bumpy):
    images = torch.rand(8, *SHAPE, dtype=torch.float64)
    labels = bumpy(images).argmax(1)
    labels = (labels + 1) % 4 if targeted else labels
    bumpy[5].bias += (-6 if targeted else 6) * functional.one_hot(labels[0], 4)
    images, labels = images[labels == labels[0]], labels[labels == labels[0]]
    served = []
    for restarts in (2, 3, 5, 8):
        result = PGD(**PLAN, restarts=restarts, targeted=targeted).report(bumpy, images, labels)
        assert not result.success.any()
        loss = loss_of(bumpy, result.images, labels)
        served.append(-loss if targeted else loss)
    assert all((after >= before).all() for before, after in pairwise(served))
    assert (served[-1] > served[0]).any()


def test_a_success_is_kept_even_if_an_earlier_failure_had_more_loss(bumpy, centred, monkeypatch):
    seen, verdicts = [], iter([(2.0, False), (1.0, True)])

    def judged(_, problem, adversarial):
        loss, fooled = next(verdicts)
        seen.append(adversarial)
        return torch.full((len(problem),), loss).double(), torch.full((len(problem),), fooled)

    monkeypatch.setattr(PGD, "_judged", judged)
    result = PGD(**PLAN, restarts=5)(bumpy, centred, torch.arange(8) % 4)
    assert len(seen) == 2
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(result, seen[1])


def test_fooled_images_leave_the_restarts(bumpy):
    images = torch.rand(32, *SHAPE, dtype=torch.float64)
    labels = bumpy(images).argmax(1)
    labels[::4] = (labels[::4] + 1) % 4  # wrong already, and they stay so
    result = PGD(epsilon=1e-4, step_size=1e-4, steps=2, restarts=3).report(bumpy, images, labels)
    wrong = torch.arange(32) % 4 == 0
    assert torch.equal(result.success, wrong)
    assert (result.forward_passes[wrong] == 3).all()  # two steps and a look
    assert (result.forward_passes[~wrong] == 9).all()
    assert (result.backward_passes[~wrong] == 6).all()


def test_a_single_start_needs_no_look_at_the_end(bumpy, centred):
    result = PGD(**PLAN).report(bumpy, centred, torch.arange(8) % 4)
    assert (result.forward_passes == 3).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_generator_decides_the_start_and_neighbours_do_not(norm, bumpy, centred):
    attack, labels = PGD(**PLAN, norm=norm), torch.arange(8) % 4
    first, again, other = (
        attack(bumpy, centred, labels, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    order = torch.randperm(8)
    turned = attack(bumpy, centred[order], labels[order], generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(turned, first[order], rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_start_and_steps_keep_to_the_region(norm, bumpy, centred):
    region = (torch.rand(8, 1, 5, 7) > 0.5).double()
    attack = PGD(epsilon=0.2, step_size=0.1, steps=4, norm=norm, restarts=2)
    change = attack(bumpy, centred, torch.arange(8) % 4, region=region) - centred
    assert torch.equal(change * (1 - region), torch.zeros_like(change))
    if norm == "l2":  # the whole length is spent inside
        assert (l2(change) > 0.19).all()


@pytest.mark.parametrize("norm", ["l3", "L2", "inf", ""])
def test_other_norms_are_refused_by_name(norm):
    with pytest.raises(ValueError, match=f"unknown norm '{norm}'.* Accepted: linf, l2"):
        PGD(norm=norm)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"restarts": 0}, "restarts must be at least 1, got 0"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"epsilon": -0.1}, "epsilon must be finite and at least 0, got -0.1"),
        ({"step_size": float("nan")}, "step_size must be finite and at least 0, got nan"),
    ],
)
def test_hyper_parameters_out_of_range_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        PGD(**wrong)
