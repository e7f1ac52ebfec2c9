"""Hyper-parameters out of their range are refused by name, with the value received."""

from math import inf, nan
from types import SimpleNamespace

import numpy as np
import pytest

from attacks import (
    APGD,
    BIM,
    FGSM,
    MIM,
    PGD,
    Advertorch,
    Alternating,
    HingedAPGD,
    HingedPGD,
    Joint,
    JointLoss,
    LocalizedBIM,
    OrthogonalPGD,
    SelectivePGD,
    Square,
)
from attacks.checks import above_zero, alike, at_least, at_most, below, lengths, one_of, untargeted


@pytest.mark.parametrize("value", [0, -1])
def test_numbers_below_the_minimum_are_refused_with_name_minimum_and_value(value):
    with pytest.raises(ValueError, match=rf"^steps must be at least 1, got {value}$"):
        at_least(1, steps=value)


@pytest.mark.parametrize("value", [0.9, 10.5, 2.0, inf, -inf, nan])
def test_counts_must_be_whole(value):
    with pytest.raises(ValueError, match=rf"^steps must be a whole number, got {value}$"):
        at_least(1, steps=value)


@pytest.mark.parametrize("value", ["10", True, None])
def test_what_is_no_number_is_refused_by_name(value):
    for check in (lambda: at_least(1, steps=value), lambda: at_least(0, steps=value), lambda: above_zero(steps=value)):
        with pytest.raises(TypeError, match=rf"^steps must be a number, got {value!r}$"):
            check()


def test_numbers_of_numpy_are_numbers():
    at_least(1, steps=np.int64(3))
    above_zero(epsilon=np.float32(0.1))
    with pytest.raises(ValueError, match=r"^steps must be a whole number, got "):
        at_least(1, steps=np.float32(3))
    with pytest.raises(TypeError, match=r"^steps must be a number, got "):
        at_least(1, steps=np.bool_(1))


@pytest.mark.parametrize("value", [-1e-9, inf, nan])
def test_numbers_below_0_are_refused_as_not_finite_and_at_least_0(value):
    with pytest.raises(ValueError, match=rf"^epsilon must be finite and at least 0, got {value}$"):
        at_least(0, epsilon=value)


def test_the_minimum_itself_and_more_is_accepted():
    at_least(0, epsilon=0, decay=0.0, step_size=1e9)
    at_least(2, candidates=2)


@pytest.mark.parametrize(("value", "must"), [(0.5, "a whole number"), (-1, "at least 0"), (inf, "a whole number")])
def test_counts_from_0_on_must_be_whole_where_that_is_said(value, must):
    at_least(0, whole=True, steps=0)
    with pytest.raises(ValueError, match=rf"^steps must be {must}, got {value}$"):
        at_least(0, whole=True, steps=value)


def test_numbers_above_a_maximum_and_not_below_a_limit_are_refused():
    at_most(1, share=1)
    below(1, share=0.99)
    with pytest.raises(ValueError, match=r"^share must be at most 1, got 1.5$"):
        at_most(1, share=1.5)
    for value in (1, nan):
        with pytest.raises(ValueError, match=rf"^share must be below 1, got {value}$"):
            below(1, share=value)


def test_the_wrong_one_of_several_is_named():
    with pytest.raises(ValueError, match=r"^decay must be .*, got -3$"):
        at_least(0, epsilon=1, decay=-3, step_size=2)


@pytest.mark.parametrize("value", [0, 0.0, -0.5, inf, nan])
def test_0_is_not_above_0(value):
    with pytest.raises(ValueError, match=rf"^learning_rate must be finite and above 0, got {value}$"):
        above_zero(constant=1.0, learning_rate=value)


def test_numbers_above_0_are_accepted():
    above_zero(learning_rate=1e-300, constant=7)


@pytest.mark.parametrize("value", [1.001, 8])
def test_lengths_above_the_range_of_images_are_refused_in_the_norm_that_cannot_have_them(value):
    with pytest.raises(ValueError, match=rf"^epsilon must be at most 1, .*: write 8/255 for 8 .* levels, got {value}$"):
        lengths("linf", step_size=1, epsilon=value)
    lengths("l2", epsilon=value)
    with pytest.raises(ValueError, match="epsilon must be finite and at least 0"):
        lengths("l2", epsilon=-value)


@pytest.mark.parametrize("value", ["l1", "Linf", "", None])
def test_other_words_are_refused_with_those_that_are_accepted(value):
    with pytest.raises(ValueError, match=rf"^unknown norm {value!r}\..* Accepted: linf, l2$"):
        one_of(("linf", "l2"), norm=value)


def test_accepted_words_are_accepted():
    one_of(("linf", "l2"), norm="linf", other="l2")


def test_targeted_is_refused_with_the_name_of_the_attack():
    with pytest.raises(ValueError, match=r"^SimpleNamespace has no targeted form: leave out targeted=True$"):
        untargeted(SimpleNamespace(targeted=True))
    untargeted(SimpleNamespace(targeted=False))
    untargeted(SimpleNamespace())


def test_attacks_of_which_only_one_is_targeted_are_refused():
    alike(FGSM(), BIM())
    with pytest.raises(ValueError, match=r"^FGSM has targeted=False and its BIM targeted=True: set both alike$"):
        alike(FGSM(), BIM(targeted=True))


IN_A_BALL = (
    FGSM,
    BIM,
    MIM,
    PGD,
    LocalizedBIM,
    Square,
    Alternating,
    Joint,
    JointLoss,
    SelectivePGD,
    OrthogonalPGD,
    HingedPGD,
    APGD,
    HingedAPGD,
)
WITH_A_NORM = (PGD, Joint, JointLoss, SelectivePGD, OrthogonalPGD, HingedPGD)


@pytest.mark.parametrize("attack", IN_A_BALL)
def test_every_attack_in_a_ball_refuses_an_epsilon_or_step_size_in_grey_levels(attack):
    for name in ("epsilon", "step_size")[: 1 if attack in {FGSM, Square, APGD, HingedAPGD} else 2]:
        with pytest.raises(ValueError, match=f"{name} must be at most 1, .*, got 8"):
            attack(**{name: 8})


@pytest.mark.parametrize("attack", WITH_A_NORM)
def test_attacks_in_the_l2_norm_may_go_farther(attack):
    assert attack(epsilon=3.0, step_size=2.0, norm="l2").epsilon == 3


@pytest.mark.parametrize(
    ("attack", "parameters", "name"),
    [
        ("LinfPGDAttack", {"eps": 8}, "eps"),
        ("LinfPGDAttack", {"eps": 0.3, "eps_iter": 2.0}, "eps_iter"),
        ("GradientSignAttack", {"eps": 8}, "eps"),
        ("LinfFABAttack", {"eps": 8}, "eps"),
        ("FABAttack", {"eps": 8}, "eps"),
        ("PGDAttack", {"eps": 8}, "eps"),
        ("MomentumIterativeAttack", {"eps": 8, "ord": np.inf}, "eps"),
    ],
)
def test_attacks_of_advertorch_refuse_them_as_well(attack, parameters, name):
    with pytest.raises(ValueError, match=f"^{name} must be at most 1, "):
        Advertorch(attack=attack, parameters=parameters)


def test_attacks_of_advertorch_in_other_norms_may_go_farther():
    others = {"L2PGDAttack": {}, "SparseL1DescentAttack": {}, "PGDAttack": {"ord": 2}, "L2FABAttack": {}}
    for attack, more in others.items():
        assert Advertorch(attack=attack, parameters={"eps": 8, **more}).parameters["eps"] == 8
    assert Advertorch(attack="LinfFABAttack", parameters={"eps": None}).parameters == {"eps": None}
