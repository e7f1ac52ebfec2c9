"""What is counted of an attack, by hand; flags, curves and prices on detectors whose answers are known."""

from dataclasses import asdict, replace
from types import SimpleNamespace

import pytest
import torch
from scipy import stats
from torch import nn

from attacks import FGSM
from detectors import Thresholded
from experiments.results.bootstrap import Resampling, interval
from experiments.results.levels import WORKING_RATE
from experiments.study.contenders import Contender
from experiments.white_box import flags as module
from experiments.white_box.attacker import Attacker, Job, Subject, random_targets
from experiments.white_box.charts import story
from experiments.white_box.curves import curve_rows, has_walk, price_rows, strongest
from experiments.white_box.measure import gradient_checks, measure_checks
from experiments.white_box.outcomes import Outcome, row, worst_row
from experiments.white_box.records import AFTER, BEFORE, WORST, WhiteBoxRecords, rate_over_seeds
from experiments.white_box.subjects import broken_subject, shared
from experiments.white_box.suite import SignNoise, matched, suite, transferred
from tests.experiments.stand_ins import stand_in


class Mean(nn.Module):
    """Flags bright images."""

    def forward(self, images):
        return images.mean((1, 2, 3))


def subject(phase=BEFORE, name="mean", module=None, calibration=None, model=None):
    calibration = torch.linspace(0, 1, 101) if calibration is None else calibration
    return Subject(Contender(name, None, None, module or Mean(), calibration), phase, model or nn.Identity())


def outcome(wrong, scores, right=(True, True, True, False), reached=None, **changes):
    given = {"contender": subject().contender, "phase": BEFORE} | changes
    return Outcome(
        **given,
        learnt=False,
        attack="a",
        steps=2,
        right_before=torch.tensor(right),
        linf=torch.zeros(4),
        l2=torch.zeros(4),
        span=(0.5, 0.5),
        wrong=torch.tensor(wrong),
        reached=torch.tensor(wrong if reached is None else reached),
        scores=torch.tensor(scores),
        clean_scores=torch.tensor([0.1, 0.2, 0.3, 0.99]),
        costs={"forward_passes": 3.0, "backward_passes": 2.0, "seconds": 0.5},
    )


def test_an_image_is_won_if_it_was_right_and_is_wrong_and_accepted():
    found = outcome([True, True, False, True], [0.2, 0.99, 0.1, 0.1])
    assert found.fooled(0.05).tolist() == [True, False, False, False]  # rejected; still right; wrong before
    assert found.success(0.05) == pytest.approx(1 / 3)
    assert found.fooled(0.5).tolist() == [True, False, False, False]
    assert outcome([True] * 4, [0.6, 0.2, 0.2, 0.2]).fooled(0.5).tolist() == [False, True, True, False]
    assert outcome([True] * 4, [-0.1, 0.0, 0.1, 0.0]).fooled(None).tolist() == [True, True, False, False]


def test_robust_accuracy_counts_right_or_rejected_of_all_images():
    record = asdict(row(outcome([True, True, False, True], [0.2, 0.99, 0.1, 0.1]), Resampling(4, 20)))
    assert record["attack_success_rate"] == pytest.approx(2 / 3)  # one of these is rejected
    assert record["robust_accuracy"] == 0.5  # the second is rejected, the third right; the last was wrong all along
    assert record["classifier_accuracy"] == 0.25
    assert (record["n"], record["n_right"]) == (4, 3)
    assert record["clean_right_and_accepted"] == 0.75
    assert record["realised_fpr"] == 0.25
    assert record["sr_at_5"] == pytest.approx(1 / 3)
    assert record["detector_accuracy"] is None


def test_the_worst_case_is_taken_image_by_image():
    first = outcome([True, False, False, False], [0.1, 0.1, 0.1, 0.1])
    second = outcome([False, True, False, False], [0.1, 0.1, 0.1, 0.1])
    record = asdict(worst_row([first, second], Resampling(4, 20)))
    assert record["attack"] == WORST
    assert record["sr_at_5"] == pytest.approx(2 / 3)
    assert record["classifier_accuracy"] == 0.5
    assert (record["forward_passes"], record["seconds"]) == (6.0, 1.0)


def test_without_any_image_right_there_is_no_rate():
    found = outcome([True] * 4, [0.1] * 4, right=[False] * 4)
    record = row(found, Resampling(4, 20))
    assert (record.sr_at_5, record.sr_at_5_low, record.sr_at_50, record.attack_success_rate) == (None,) * 4
    assert worst_row([found], Resampling(4, 20)).sr_at_5 is None
    assert rate_over_seeds([asdict(record)]) is None


def test_a_targeted_attack_wins_what_is_classified_as_the_target():
    found = outcome([True, True, True, True], [0.2, 0.2, 0.99, 0.2], reached=[True, False, True, True])
    record = row(found, Resampling(4, 20))
    assert found.fooled(0.05).tolist() == [True, False, False, False]  # the third is rejected, the last was wrong
    assert (record.sr_at_5, record.attack_success_rate) == pytest.approx((1 / 3, 2 / 3))
    assert (record.classifier_accuracy, record.robust_accuracy) == (0, 0.25)  # any wrong class is wrong


def test_a_rate_over_seeds_has_the_error_of_images_and_of_seeds():
    rows = [{"sr_at_5": value, "sr_at_5_low": value - 0.1, "sr_at_5_high": value + 0.1} for value in (0.4, 0.5, 0.6)]
    found, alone = rate_over_seeds(rows), rate_over_seeds(rows[:1])
    seeds = stats.t.ppf(0.975, 2) * 0.1 / 3**0.5
    assert (found.value, found.high) == pytest.approx((0.5, 0.5 + (0.1**2 + seeds**2) ** 0.5))
    assert (alone.low, alone.high) == pytest.approx((0.3, 0.5))


def test_a_rate_of_all_images_has_a_width():
    found = rate_over_seeds([{"sr_at_5": 1.0, "sr_at_5_low": 1.0, "sr_at_5_high": 1.0, "n_right": 10}])
    expected = stats.binomtest(10, 10).proportion_ci(method="exact")
    assert (found.value, found.low, found.high) == pytest.approx((1, expected.low, 1))


def test_resampled_shares_lie_around_the_share_and_pass_over_draws_without_any():
    chosen, among = torch.tensor([True, False, False, False]), torch.tensor([True, True, False, False])
    found = Resampling(4, 500).ratio(chosen, among)
    known = found[~found.isnan()]
    assert 0 < len(known) < 500
    assert known.mean() == pytest.approx(0.5, abs=0.06)
    all_won = interval(1.0, Resampling(4, 500).ratio(among, among))
    assert (all_won.low, all_won.high) == (1, 1)


def test_a_classifier_is_shared_only_where_its_weights_are_equal():
    torch.manual_seed(0)
    own, equal, other = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    equal.load_state_dict(own.state_dict())
    holder = SimpleNamespace(classifier=own)
    assert shared(equal, holder) is own
    assert shared(other, holder) is other
    assert shared(other, SimpleNamespace()) is other


def test_the_suite_keeps_one_budget():
    names = [attack.name for attack in suite(0.2, 7, parts=True, held=True)]
    assert len(names) == len(set(names))
    for each in [*suite(0.2, 7, parts=True, held=True), matched(0.2, 7, torch.rand(3, 1, 8, 8))]:
        assert each.attack.epsilon == 0.2


def test_every_attack_of_the_suite_has_a_targeted_form_but_noise():
    attacks = [each.attack for each in suite(0.2, 7, parts=True, held=True, targeted=True)]
    assert all(attack.targeted for attack in attacks)
    assert transferred(0.2, 7, nn.Identity(), nn.Identity(), parts=True, targeted=True).attack.attack.targeted
    assert matched(0.2, 7, torch.rand(3, 1, 8, 8), targeted=True).attack.targeted
    with pytest.raises(ValueError, match="SignNoise has no targeted form"):
        SignNoise(epsilon=0.1, targeted=True)


def test_targets_are_other_classes_each_as_often_and_always_the_same():
    labels = torch.arange(4).repeat(500)
    targets = random_targets(labels, 4)
    assert (targets != labels).all()
    assert torch.equal(targets, random_targets(labels, 4))
    counts = torch.bincount((targets - labels) % 4, minlength=4)
    assert (counts[1:] - 2000 / 3).abs().max() < 80
    assert random_targets(torch.tensor([0, 1, 1]), 2).tolist() == [1, 0, 0]


def test_the_strongest_walk_is_the_one_that_won_most():
    entries = {entry.name: entry for entry in suite(0.2, 7, parts=False, held=False)}
    none, some = outcome([False] * 4, [0.1] * 4), outcome([True, False, False, False], [0.1] * 4)
    found = [(entries["selective"], none), (entries["hinged"], some), (entries["square"], some)]
    assert strongest(found).name == "hinged"
    assert strongest([(entries["selective"], none), (entries["orthogonal"], none)]).name == "selective"


def test_auto_pgd_is_a_walk_whose_curve_can_be_drawn():
    entries = {entry.name: entry for entry in suite(0.1, 10, parts=False, held=False)}
    none, some = (SimpleNamespace(success=lambda _, rate=rate: rate) for rate in (0.1, 0.4))
    assert strongest([(entries["hinged"], none), (entries["hinged_apgd"], some)]).name == "hinged_apgd"
    assert has_walk([entries["square"], entries["hinged_apgd"]])
    assert not has_walk([entries["square"], entries["hop_skip_jump"], entries["alternating_aimed"]])


def test_sign_noise_moves_every_value_by_epsilon():
    images = torch.rand(3, 1, 4, 4) * 0.4 + 0.3
    noisy = SignNoise(epsilon=0.1)(nn.Flatten(), images)
    torch.testing.assert_close((noisy - images).abs(), torch.full_like(images, 0.1))
    assert not torch.equal(noisy[0] > images[0], noisy[1] > images[1])


@pytest.fixture
def study(tmp_path):
    return stand_in(tmp_path)


@pytest.fixture
def attacker(study):
    split = study.data.split("test")
    part = split.__getitems__(list(range(12)))
    return Attacker(part.images, part.labels, study.device, study.progress)


@pytest.fixture
def easy(study, attacker):
    """A detector of bright images that accepts all clean ones."""
    scores = attacker.images.mean((1, 2, 3)).sort().values + 1
    return Subject(Contender("bright", None, None, Mean(), scores.repeat(10).sort().values), BEFORE, study.classifier)


def test_curves_grow_and_the_price_of_nothing_is_one(attacker, easy):
    entry = next(entry for entry in suite(0.1, 10, parts=False, held=False) if entry.name == "orthogonal")
    curves = list(curve_rows(attacker, [(easy, entry)], [], 0.1, 10, 12))
    line = [each.sr_at_5 for each in curves if each.across == "epsilon"]
    assert line[0] == 0
    assert line[-1] == 1
    assert line == sorted(line)
    (price,) = price_rows(attacker, [easy], 30, 12)
    assert price.sr_at_5 == price.success_alone == 1
    assert price.ratio_median == pytest.approx(1)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_curves_count_what_the_suite_has_won_and_attack_the_rest(attacker, easy, norm, monkeypatch):
    epsilon = 0.02 if norm == "linf" else 0.3
    entries = [e for e in suite(epsilon, 6, parts=False, held=False, norm=norm) if e.name in {"hinged", "orthogonal"}]
    outcomes = [attacker.outcome(easy, e.name, e.attack, easy.aimed()) for e in entries]
    won = outcomes[0].fooled(WORKING_RATE) | outcomes[1].fooled(WORKING_RATE)
    jobs = []
    alone = attacker.outcomes
    monkeypatch.setattr(attacker, "outcomes", lambda asked: jobs.extend(asked) or alone(asked))
    for entry in entries:
        jobs.clear()
        curve = {
            e.at: e
            for e in curve_rows(attacker, [(easy, entry)], outcomes, epsilon, 6, 12, norm)
            if e.across == "epsilon"
        }
        given = {job.attack.epsilon: job.given for job in jobs if job.given is not None}
        raw = {at: alone([Job(easy, "", replace(entry.attack, epsilon=at), easy.aimed(), 12)])[0] for at in curve}
        assert 0 < curve[epsilon].sr_at_5 == outcomes[0].among_right(won) < 1
        assert all(curve[at].sr_at_5 >= raw[at].success(WORKING_RATE) for at in curve)
        assert not given[epsilon].any()
        assert torch.equal(given[2 * epsilon], attacker.right(easy) & ~won)
        assert [each.sr_at_5 for each in curve.values()] == sorted(each.sr_at_5 for each in curve.values())


@pytest.mark.slow
def test_flags_of_a_sound_run_are_not_raised(study, attacker, easy):
    entries = list(suite(0.3, 20, parts=False, held=False))
    outcomes = [attacker.outcome(easy, e.name, e.attack, easy.aimed()) for e in entries]
    resampling = Resampling(12, 20)
    rows = [asdict(row(each, resampling)) for each in outcomes]
    curves = map(
        asdict,
        curve_rows(attacker, [(easy, strongest(list(zip(entries, outcomes, strict=True))))], outcomes, 0.3, 20, 12),
    )
    checks = measure_checks(attacker, [easy], outcomes, broken_subject(study, easy.model), 0.3)
    found = module.flags(WhiteBoxRecords(rows, (0, 0), {}, list(curves), [], [], [], [], checks), 0.3, None)
    assert [flag.name for flag in found if flag.raised] == ["Few images"]
    assert not module.few_images([{"n_right": 20}]).raised


def named(found, start):
    (one,) = [flag for flag in found if flag.name.startswith(start)]
    return one


def test_attacks_in_turns_have_the_outcomes_of_attacks_at_once(attacker, easy, monkeypatch):
    jobs = [
        Job(easy, "fgsm", FGSM(epsilon=size), easy.aimed(), count) for size, count in ((0.1, 12), (0.2, 5), (0.3, 9))
    ]
    together = attacker.outcomes(jobs)
    monkeypatch.setattr("experiments.white_box.attacker._AT_ONCE", 1)
    in_turns = attacker.outcomes(jobs)
    assert [len(each.wrong) for each in in_turns] == [12, 5, 9]
    for one, other in zip(together, in_turns, strict=True):
        assert torch.equal(one.linf, other.linf)
        assert torch.equal(one.scores, other.scores)
    assert attacker.outcomes([]) == []


def test_a_broken_budget_is_flagged(attacker, easy):
    wide = attacker.outcome(easy, "fgsm", FGSM(epsilon=0.2), easy.aimed())
    rows = [asdict(row(wide, Resampling(12, 20)))]
    assert module.budget(rows, wide.span, 0.1).raised
    assert not module.budget(rows, wide.span, 0.2).raised
    assert module.budget(rows, (0.0, 1.1), 0.2).raised


class Steps(nn.Module):
    """No gradient passes it."""

    def forward(self, images):
        return (images.mean((1, 2, 3)) * 10).floor()


class Dice(nn.Module):
    """Another score at every call."""

    def forward(self, images):
        return images.mean((1, 2, 3)) + torch.rand(len(images))


def test_vanishing_gradients_and_chance_are_flagged(attacker):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(144, 4))
    steps, dice, plain = (subject(name=m.__name__, module=m(), model=model) for m in (Steps, Dice, Mean))

    def flag(*subjects):
        return module.gradients_vanish([check for each in subjects for check in gradient_checks(attacker, each)])

    told = flag(steps, plain)
    assert told.raised
    assert "Steps" in told.sentence
    assert "Mean" not in told.sentence
    assert not flag(plain).raised
    nn.init.zeros_(model[1].weight)
    assert "margin of the classifier beside Mean" in flag(plain).sentence
    moving = measure_checks(attacker, [plain, dice], [outcome([True] * 4, [0.1] * 4)], plain, 0.1).undetermined
    assert list(moving) == ["Dice"]
    assert "Dice" in module.determined(moving).sentence
    assert not module.determined([]).raised


def record(attack, value, phase=BEFORE):
    return {"detector": "d", "phase": phase, "attack": attack, "sr_at_5": value, "fooled_both": value}


@pytest.mark.parametrize(
    ("rows", "name", "raised"),
    [
        ([("orthogonal", 0.5), ("transfer", 0.9)], "White-box at least", True),
        ([("orthogonal", 0.9), ("transfer", 0.5)], "White-box at least", False),
        ([("hinged", 0.2), ("square", 0.6)], "Gradients at least", True),
        ([("hinged", 0.2), ("selective_parts", 0.6), ("square", 0.6)], "Gradients at least", False),
        ([("hinged", 0.2), ("selective_parts", 0.6), ("square", 0.6)], "The same without", True),
        ([("hinged", 0.6), ("square", 0.6)], "Gradients at least", False),
        ([("orthogonal", 0.2), ("alternating_aimed", 0.6)], "Orthogonal or Selective", True),
        ([("orthogonal", 0.6)], "Orthogonal or Selective", None),
        ([("orthogonal", None), ("alternating_aimed", None)], "Orthogonal or Selective", None),
    ],
)
def test_orders_of_attacks(rows, name, raised):
    assert named(list(module.orders([record(*each) for each in rows])), name).raised is raised


@pytest.mark.parametrize(("blind", "raised"), [(11, True), (2, False)])
def test_a_cascade_in_which_an_attack_without_gradients_wins_what_gradients_lost_is_flagged(blind, raised):
    won = {"metzen": 1, "hinged": 0, "selective_remedied": 4, "square": blind, WORST: 5 + blind}
    rows = [{**record(attack, None), "n_right": 50, "n_won_first": count} for attack, count in won.items()]
    flag = named(list(module.orders(rows)), "Gradients at least")
    assert flag.raised is raised
    assert ("d, before retraining: 0.100 < 0.320. Remedy: the gradient is masked" in flag.sentence) is raised
    alone = [row for row in rows if row["attack"] not in {"hinged", "selective_remedied"}]
    assert named(list(module.orders(alone)), "Gradients at least").raised is None


def curve(across, at, value):
    return {"detector": "d", "phase": BEFORE, "across": across, "at": at, "sr_at_5": value}


def test_falling_curves_are_flagged():
    falling = [curve("steps", 1, 0.5), curve("steps", 10, 0.2), curve("epsilon", 0, 0.1), curve("epsilon", 1, 0.5)]
    found = list(module.along_curves(falling))
    assert named(found, "More steps").raised
    assert named(found, "Epsilon 0").raised
    assert named(found, "Without a budget").raised
    assert all(flag.raised is None for flag in module.along_curves([]))


def test_retrained_detectors_need_a_longer_attack(attacker, easy):
    before, after = (outcome([True] * 4, [0.1] * 4, phase=phase) for phase in (BEFORE, AFTER))
    longest, none = (
        measure_checks(attacker, [], outcomes, easy, 0.1).longest_retrained for outcomes in ([before, after], [before])
    )
    assert (longest, none) == (2, None)
    assert module.fresh(longest, 5).raised
    assert not module.fresh(longest, 0).raised
    assert module.fresh(longest, None).raised is None
    assert module.fresh(none, 5).raised is None


@pytest.mark.slow
def test_the_picture_needs_no_curves():
    rows = [record("orthogonal", 0.5), record(WORST, 0.6), record(WORST, None, AFTER)]
    curves = [curve(across, at, at) for across in ("steps", "epsilon") for at in (0.5, 1)]
    for given in ([], curves):
        assert story("title", rows, given).startswith(b"\x89PNG")


def test_aim_needs_enough_calibration_images():
    few = subject(calibration=torch.zeros(5))
    with pytest.raises(ValueError, match=r"5 calibration images are too few .* at least 19 are needed"):
        few.aimed()
    assert few.aimed(None).threshold == 0
    assert isinstance(few.aimed(None), Thresholded)
