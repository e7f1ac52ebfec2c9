"""JointFMN: the shortest perturbation past both networks, its goals, and its price."""

import pytest
import torch

from attacks import HingedPGD, JointDDN, JointFMN
from attacks.norms import LENGTHS
from tests.attacks.white_box.museum import BROKEN


@pytest.fixture(scope="module")
def linear(trained):
    return BROKEN["Linear"](trained[1])


@pytest.mark.slow
@pytest.mark.parametrize("norm", LENGTHS)
def test_every_image_passes_both_in_every_norm(norm, trained, linear):
    result = JointFMN(norm=norm).report(*trained, detector=linear)
    assert result.success.all()
    assert (result.scores <= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_a_detector_costs_length(norm, trained, linear):
    images, length = trained[1], LENGTHS[norm]
    free = length(JointFMN(norm=norm)(*trained, detector=BROKEN["Constant"](images)) - images)
    paid = length(JointFMN(norm=norm)(*trained, detector=linear) - images)
    assert (paid / free).median() > 1.02
    assert (paid > 0.95 * free).all()  # both are searches


@pytest.mark.slow
def test_it_is_shorter_in_its_norm_than_the_walk_in_another(trained, linear):
    reports = {norm: JointFMN(norm=norm).report(*trained, detector=linear) for norm in ("l2", "linf")}
    assert reports["linf"].linf.median() < reports["l2"].linf.median()
    assert reports["l2"].l2.median() < reports["linf"].l2.median()


@pytest.mark.slow
def test_in_l2_it_comes_within_a_tenth_of_joint_ddn_at_equal_passes(trained, linear):
    ours = JointFMN(norm="l2", steps=50, goals=3).report(*trained, detector=linear)
    theirs = JointDDN(steps=203).report(*trained, detector=linear)
    assert ours.forward_passes.max() <= theirs.forward_passes.max() + 1
    assert ours.l2.median() <= 1.1 * theirs.l2.median()


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", [0.05, 0.1, 0.15])
def test_one_run_wins_within_a_budget_what_a_walk_at_that_budget_wins(epsilon, trained, linear):
    smallest = JointFMN().report(*trained, detector=linear)
    walk = HingedPGD(epsilon=epsilon).report(*trained, detector=linear)
    within = (smallest.linf <= epsilon).sum().item()
    assert within >= (walk.success & (walk.scores <= 0)).sum().item() - 1


def test_goals_shorten_and_cost_a_walk_each(trained, linear):
    one, four = (JointFMN(steps=30, goals=goals).report(*trained, detector=linear) for goals in (0, 3))
    assert one.success.all()
    assert (four.linf <= one.linf).all()
    assert (four.linf < one.linf).any()
    assert set(one.forward_passes.tolist()) == {31}
    assert set(four.forward_passes.tolist()) == {4 * 31 + 1}
    assert set(four.backward_passes.tolist()) == {4 * 30}


def test_image_that_passes_already_is_returned_as_it_is(trained):
    net, images, labels = trained
    result = JointFMN().report(net, images, (labels + 1) % 6, detector=BROKEN["Constant"](images))
    assert torch.equal(result.images, images)
    assert set(result.forward_passes.tolist()) == {1}


@pytest.mark.parametrize("arguments", [{"goals": -1}, {"decay": 1.0}, {"margin": 0}, {"score_margin": -1.0}])
def test_bad_arguments_are_refused(arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=name):
        JointFMN(**arguments)
