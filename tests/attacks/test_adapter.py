"""Any attack of advertorch behind our interface."""

import sys
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from attacks import Advertorch, norms
from attacks.adapter import import_advertorch
from tests.attacks.cases import goals, linear_model

PGD = {"eps": 0.1, "eps_iter": 0.03, "nb_iter": 4}
CARLINI_WAGNER = {"max_iterations": 30, "binary_search_steps": 2, "learning_rate": 0.05, "initial_const": 10.0}


@pytest.fixture
def pgd():
    return Advertorch(attack="LinfPGDAttack", parameters=PGD)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_import_gives_advertorchs_attacks_every_time():
    assert import_advertorch() is import_advertorch()
    assert import_advertorch().LinfPGDAttack.__module__.startswith("advertorch.")


def test_gradients_are_cleared_as_torch_1_did():
    import_advertorch()
    clear = sys.modules["torch.autograd.gradcheck"].zero_gradients
    filled, empty = (torch.ones(2, requires_grad=True) for _ in range(2))
    filled.grad = torch.ones(2)
    clear([filled, empty])
    assert filled.grad.tolist() == [0, 0]
    assert empty.grad is None
    filled.grad = torch.ones(2)
    clear(filled)
    assert filled.grad.tolist() == [0, 0]


@pytest.mark.parametrize("name", ["LinfPGD", "nothing", "attacks", "Label", "__name__"])
def test_unknown_attack_is_refused_with_the_names_that_exist(name):
    with pytest.raises(ValueError, match=rf"no attack '{name}'; it has .*CarliniWagnerL2Attack.*LinfPGDAttack"):
        Advertorch(attack=name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Attack", "is the base class of all"),
        ("ChooseBestAttack", "only chooses among other attacks"),
        ("FastFeatureAttack", "needs a guide image in place of labels"),
    ],
)
def test_attack_that_makes_no_images_of_labels_is_refused_with_those_that_do(name, reason):
    with pytest.raises(ValueError, match=rf"^advertorch's {name} {reason}: name one of CarliniWagnerL2Attack, .*"):
        Advertorch(attack=name)


def test_unknown_parameter_is_refused_with_the_names_that_exist():
    with pytest.raises(ValueError, match=r"LinfPGDAttack takes .*eps.*nb_iter.*; got epsilon, steps"):
        Advertorch(attack="LinfPGDAttack", parameters={"steps": 3, "epsilon": 0.1, "eps": 0.1})


def test_targets_for_an_attack_that_takes_none_are_refused():
    with pytest.raises(ValueError, match=r"LinfFABAttack has no targeted form"):
        Advertorch(attack="LinfFABAttack", targeted=True)


@pytest.mark.parametrize(
    "given",
    [{"targeted": True}, {"predict": None}, {"clip_min": -1.0}, {"clip_max": 255.0}],
    ids=lambda given: next(iter(given)),
)
def test_what_the_adapter_gives_itself_cannot_be_given(given):
    with pytest.raises(ValueError, match=next(iter(given))):
        Advertorch(attack="LinfPGDAttack", parameters=given)


def test_fields_cannot_be_changed(pgd):
    with pytest.raises(FrozenInstanceError):
        pgd.attack = "GradientSignAttack"
    with pytest.raises(FrozenInstanceError):
        pgd.parameters = {}


def test_dict_that_the_caller_changes_later_does_not_change_the_attack():
    parameters = dict(PGD)
    attack = Advertorch(attack="LinfPGDAttack", parameters=parameters)
    parameters["eps"] = 0.9
    assert attack.parameters == PGD


def test_generators_seed_decides_the_random_start(pgd, classifier, images, labels):
    first, again, other = (pgd(classifier, images, labels, generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_a_generator_the_same_seed_is_used_every_time(pgd, classifier, images, labels):
    first = pgd(classifier, images, labels)
    torch.rand(3)
    assert torch.equal(pgd(classifier, images, labels), first)
    assert not torch.equal(pgd(classifier, images, labels, generator=seeded(0)), first)


def test_generators_of_any_seed_are_accepted(pgd, classifier, images, labels):
    large = pgd(classifier, images, labels, generator=seeded(2**40 + 1))
    assert ((large - images).abs() <= 0.1 + 1e-6).all()
    assert not torch.equal(large, pgd(classifier, images, labels, generator=seeded(2)))


def test_one_number_is_drawn_from_the_generator(pgd, classifier, images, labels):
    generator, expected = seeded(5), seeded(5)
    first, second = (pgd(classifier, images, labels, generator=generator) for _ in range(2))
    for _ in range(2):
        torch.randint(2**31, (), generator=expected)
    assert torch.equal(generator.get_state(), expected.get_state())
    assert not torch.equal(first, second)


class Drawing:
    """An attack as advertorch's, which draws from the global random states of torch and numpy."""

    def __init__(self, predict):
        self.predict = predict

    def perturb(self, x, y):
        noise = torch.rand_like(x) + torch.from_numpy(np.random.random(x.shape))  # noqa: NPY002
        return (noise / 2 + 0 * y.view(-1, 1, 1, 1)).to(x.dtype)


def test_attack_that_draws_from_numpy_has_the_generators_seed_and_leaves_the_global_state(linear, images, monkeypatch):
    monkeypatch.setattr(import_advertorch(), "Drawing", Drawing, raising=False)
    attack = Advertorch(attack="Drawing")
    before = np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    first, again, other = (attack(linear, images, generator=seeded(seed)) for seed in (1, 1, 2))
    assert np.random.get_state()[1].tolist() == before[0]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_parameters_reach_the_attack(classifier, images, labels):
    small, large = (
        Advertorch(attack="LinfPGDAttack", parameters={**PGD, "eps": eps})(classifier, images, labels)
        for eps in (0.02, 0.08)
    )
    assert (small - images).abs().max() == pytest.approx(0.02, abs=1e-6)
    assert (large - images).abs().max() == pytest.approx(0.08, abs=1e-6)


@pytest.mark.parametrize("targeted", [False, True])
def test_number_of_classes_is_filled_in(targeted, linear, images):
    labels = linear(images).argmax(1)
    attack = Advertorch(attack="CarliniWagnerL2Attack", parameters=CARLINI_WAGNER, targeted=targeted)
    result = attack.report(linear, images, (labels + 1) % 4 if targeted else labels)
    assert result.success.all()
    assert (result.l2 < 3).all()
    assert all(parameter.grad is None for parameter in linear.parameters())


def test_number_of_classes_that_is_given_is_kept(linear, images):
    too_many = Advertorch(attack="CarliniWagnerL2Attack", parameters={**CARLINI_WAGNER, "num_classes": 5})
    with pytest.raises(RuntimeError, match="size"):  # advertorch compares five one-hot columns with four logits
        too_many(linear, images)


@pytest.mark.parametrize("name", ["JacobianSaliencyMapAttack", "JSMA"])
def test_attack_whose_labels_are_always_targets_is_targeted(name, linear, images):
    attack = Advertorch(attack=name, parameters={"theta": 1.0, "gamma": 0.5}, targeted=True)
    result = attack.report(linear, images, (linear(images).argmax(1) + 1) % 4)
    assert result.success.all()
    assert (result.l0 > 0).all()


@pytest.mark.parametrize("name", ["JacobianSaliencyMapAttack", "JSMA"])
def test_attack_whose_labels_are_always_targets_is_refused_untargeted(name):
    with pytest.raises(ValueError, match="targeted=True"):  # it would take labels to leave for targets
        Advertorch(attack=name)


ITERATED = {"eps_iter": 0.05, "nb_iter": 10}
# For each attack its arguments, whether it has a targeted form, the norm that it keeps to, and the budget
WORKING = {
    "GradientSignAttack": ({"eps": 0.2}, True, norms.linf, 0.2),
    "LinfPGDAttack": ({"eps": 0.2, **ITERATED}, True, norms.linf, 0.2),
    "MomentumIterativeAttack": ({"eps": 0.2, **ITERATED}, True, norms.linf, 0.2),
    "L2PGDAttack": ({"eps": 2.0, "eps_iter": 0.5, "nb_iter": 10}, True, norms.l2, 2.0),
    "SparseL1DescentAttack": ({"eps": 20.0, "eps_iter": 5.0, "nb_iter": 10}, True, norms.linf, 1.0),
    "DDNL2Attack": ({"nb_iter": 30}, True, norms.l2, 1.5),
    "ElasticNetL1Attack": (
        {"max_iterations": 20, "binary_search_steps": 2, "initial_const": 5.0},
        True,
        norms.l2,
        1.5,
    ),
    "LinfFABAttack": ({"n_iter": 10}, False, norms.linf, 0.1),
    "L2FABAttack": ({"n_iter": 10}, False, norms.l2, 1.0),
    "FABAttack": ({"norm": "L2", "n_iter": 10}, False, norms.l2, 1.0),
    "LinfSPSAAttack": ({"eps": 0.3, "lr": 0.05, "nb_iter": 20, "nb_sample": 32}, True, norms.linf, 0.3),
}
QUIET = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


@QUIET
@pytest.mark.parametrize(
    ("name", "targeted"),
    [(name, targeted) for name, case in WORKING.items() for targeted in (False, True)[: 1 + case[1]]],
)
def test_attack_of_advertorch_works(name, targeted, classifier, images):
    parameters, _, norm, budget = WORKING[name]
    attack = Advertorch(attack=name, parameters=parameters, targeted=targeted)
    labels = goals(attack, classifier, images)
    result = attack.report(classifier, images, labels)
    assert result.success.sum() >= 6
    assert (norm(result.images - images) <= budget + 1e-6).all()
    assert (result.l2 > 0).all()
    assert result.forward_passes.sum() >= 8
    assert all(parameter.grad is None and parameter.requires_grad for parameter in classifier.parameters())
    again = attack(classifier, images, labels)
    assert torch.equal(again, result.images)


@QUIET
def test_lbfgs_reaches_targets(classifier, images):
    parameters = {"binary_search_steps": 2, "max_iterations": 10, "initial_const": 1.0}
    attack = Advertorch(attack="LBFGSAttack", parameters=parameters, targeted=True)
    result = attack.report(classifier, images, goals(attack, classifier, images))
    assert result.success.sum() >= 6
    assert (result.l2 < 3).all()


@QUIET
@pytest.mark.parametrize(
    ("name", "parameters", "shape", "dtype", "error"),
    [
        ("SinglePixelAttack", {}, (1, 8, 8), torch.float32, IndexError),
        ("SinglePixelAttack", {"max_pixels": 48}, (1, 6, 8), torch.float32, IndexError),
        ("LocalSearchAttack", {}, (1, 6, 8), torch.float32, IndexError),
        *[
            (name, {}, (1, 8, 8), torch.float64, RuntimeError)
            for name in ("LinfFABAttack", "ElasticNetL1Attack", "CarliniWagnerL2Attack", "SpatialTransformAttack")
        ],
    ],
)
def test_what_the_docstring_calls_broken_is(name, parameters, shape, dtype, error):
    model = linear_model(shape, 4, dtype)
    torch.nn.init.zeros_(model[1].weight)  # no image is fooling, so that the search goes to its end
    with pytest.raises(error):
        Advertorch(attack=name, parameters=parameters)(model, torch.rand(4, *shape, dtype=dtype))


def test_l2_momentum_is_nan_where_the_gradient_is_0(linear, images):
    with torch.no_grad():
        linear[1].weight[:, 0] = 0
    with pytest.raises(RuntimeError, match=r"from nan to nan, not in .*: look for a division by 0"):
        Advertorch(attack="L2MomentumIterativeAttack")(linear, images)


@pytest.mark.parametrize("name", ["FABAttack", "LinfFABAttack", "L2FABAttack", "L1FABAttack"])
def test_fab_has_no_targeted_form(name):
    with pytest.raises(ValueError, match=f"advertorch's {name} has no targeted form"):
        Advertorch(attack=name, targeted=True)


@pytest.mark.parametrize(
    ("name", "parameters", "norm"),
    [
        ("LinfPGDAttack", {}, "linf"),
        ("FGSM", {}, "linf"),
        ("GradientAttack", {}, "l2"),
        ("CarliniWagnerL2Attack", {"num_classes": 3}, "l2"),
        ("L2BasicIterativeAttack", {}, "l2"),
        ("SparseL1DescentAttack", {}, "l1"),
        ("ElasticNetL1Attack", {"num_classes": 3}, "l1"),
        ("SinglePixelAttack", {}, "l0"),
        ("PGDAttack", {}, "linf"),
        ("PGDAttack", {"ord": 2}, "l2"),
        ("FABAttack", {"norm": "L1"}, "l1"),
        ("SpatialTransformAttack", {"num_classes": 3}, None),
    ],
)
def test_norm_is_that_of_the_class_or_of_its_argument(name, parameters, norm):
    assert Advertorch(attack=name, parameters=parameters).norm_family == norm
