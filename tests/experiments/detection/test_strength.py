"""evaluate.py strength: norms, success, costs and flags."""

import json
import math
from dataclasses import dataclass, replace

import pytest
import torch
from scipy import stats
from torch import nn

from attacks import BIM, FGSM, PGD, Attack, CarliniWagnerL2, DeepFool
from experiments.detection.strength.flags import flags_of
from experiments.detection.strength.measure import SIZES, measure_attack, records_of, settings_of
from experiments.detection.strength.protocol import strength
from experiments.detection.strength.records import NORMS, Cost
from experiments.results.result import read_result, write_result
from experiments.results.two_samples import QUANTILES, spread_of, weaker
from experiments.study.budgets import is_linf
from tests.experiments.studies import copy_of, study_of


@pytest.fixture(scope="module")
def found(finished):
    return strength(study_of(finished))


def row(rows, **wanted):
    (one,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return one


def cost(**changes):
    plain = Cost(images=4, forward_passes=1.0, backward_passes=1.0, seconds=0.1, threads=1, repeatable=True)
    return replace(plain, **changes)


def measured(attack, change, fooled, changed=0):
    """An attack's images, all right before, changed by hand."""
    return records_of(
        "attack",
        settings_of(attack),
        sizes={name: size(change) for name, size in SIZES.items()},
        in_range=(change.abs() <= 0.5).flatten(1).all(1),
        right=torch.ones(len(change), dtype=torch.bool),
        wrong=fooled,
        wrong_rounded=fooled,
        changed=changed,
        cost=cost(),
    )


def flags(*attacks):
    return flags_of(attacks, 0)


def flag(found, name):
    (one,) = [each for each in found if each.name == name]
    return one


def test_rows_are_attacks_by_subsets_by_norms(found):
    cells = [(each["attack"], each["subset"], each["norm"]) for each in found.rows]
    wanted = {(a, s, n) for a in ("fgsm", "none") for s in ("all", "successful") for n in ("l0", "l2", "rms", "linf")}
    assert set(cells) == wanted
    assert len(cells) == len(wanted)
    assert len({tuple(each) for each in found.rows}) == 1


def test_a_known_change_has_known_norms(found, finished):
    study = study_of(finished)
    change = study.under("fgsm").adversarial[:] - study.images.clean[:]
    one = row(found.rows, attack="fgsm", subset="all", norm="l2")
    assert one["mean"] == pytest.approx(change.flatten(1).double().pow(2).sum(1).sqrt().mean().item(), rel=1e-5)
    largest = row(found.rows, attack="fgsm", subset="all", norm="linf")
    assert largest["q95"] == pytest.approx(0.1, abs=1e-6)
    mean_square = row(found.rows, attack="fgsm", subset="all", norm="rms")
    assert mean_square["mean"] == pytest.approx(one["mean"] / 28, rel=1e-5)
    assert row(found.rows, attack="none", subset="all", norm="l0")["q95"] == 0


def test_closed_forms_of_the_norms():
    change = torch.zeros(2, 1, 2, 2)
    change[0, 0, 0, 0], change[0, 0, 1, 1], change[1] = 0.3, -0.4, 0.1
    values = {name: norm(change).tolist() for name, norm in SIZES.items()}
    assert values["l0"] == [2, 4]
    assert values["l2"] == pytest.approx([0.5, 0.2])
    assert values["rms"] == pytest.approx([0.25, 0.1])
    assert values["linf"] == pytest.approx([0.4, 0.1])


def test_mean_and_quantiles_are_those_of_the_values():
    spread = spread_of(torch.arange(101.0))
    assert spread == {"mean": 50, "q05": 5, "q25": 25, "median": 50, "q75": 75, "q95": 95}
    assert spread_of(torch.empty(0)) == dict.fromkeys(("mean", *QUANTILES))


def test_an_empty_subset_is_null(found):
    for norm in NORMS:
        empty = row(found.rows, attack="none", subset="successful", norm=norm)
        assert empty["n"] == 0
        assert {empty[name] for name in ("mean", *QUANTILES, "large")} == {None}
    assert empty["success_rate"] == 0
    json.dumps(list(found.rows), allow_nan=False)


def test_success_is_predicted_anew_from_the_images(found, finished):
    study = study_of(finished)
    under = study.under("fgsm")
    one = row(found.rows, attack="fgsm", subset="successful", norm="l2")
    assert one["success_rate"] == pytest.approx(under.success_rate)
    assert one["n"] == int(under.subsets["successful"].sum())
    lying = replace(under, after=torch.full_like(under.after, -1))
    again = measure_attack(study, lying)
    assert again.success_rate == pytest.approx(under.success_rate)
    assert again.changed == len(under.after)


def test_large_changes_are_bold_by_the_papers_thresholds(found):
    assert row(found.rows, attack="fgsm", subset="all", norm="rms")["large"] is True
    assert row(found.rows, attack="fgsm", subset="all", norm="linf")["large"] is False
    assert row(found.rows, attack="fgsm", subset="all", norm="l2")["large"] is None
    table = found.tables[0]
    lines = [(table.rows[y][0], table.rows[y][2], table.header[x]) for y, x in table.bold]
    assert set(lines) == {("fgsm", "successful", "RMS"), ("fgsm", "all", "RMS")}
    assert "Bold" in table.note


def test_passes_are_those_of_the_attack(found):
    one = row(found.rows, attack="fgsm", subset="all", norm="l2")
    assert (one["forward_passes"], one["backward_passes"]) == (2, 1)
    assert found.meta["sample_images"] <= 64


def test_rows_figures_and_flags_are_the_same_again(found, finished):
    again = strength(study_of(finished))
    assert again.rows == found.rows
    assert again.figures == found.figures
    assert again.finding == found.finding
    assert again.flags == found.flags


def test_files_are_written(found, tmp_path):
    write_result(found, tmp_path)
    assert (tmp_path / "strength.png").read_bytes().startswith(b"\x89PNG")
    assert read_result(tmp_path / "strength.json")["rows"] == list(found.rows)


def test_flags_of_the_finished_run(found):
    assert flag(found.flags, "An attack that never succeeds").raised
    assert "none" in flag(found.flags, "An attack that never succeeds").sentence
    for name in ("Box or budget violated", "Non-determinism", "Success recomputed", "Zero or non-finite gradients"):
        assert flag(found.flags, name).raised is False
    assert flag(found.flags, "An iterative attack weaker than a single step").raised is None
    assert flag(found.flags, "C&W did not converge").raised is None


@pytest.mark.slow
def test_only_the_classifier_is_needed(finished, tmp_path):
    copy = copy_of(finished, tmp_path)
    for path in [*copy.glob("detectors/**/model.ckpt"), *copy.glob("saliency/**/model.ckpt")]:
        path.unlink()
    assert strength(study_of(copy)).rows
    (copy / "classifier/seed_0/model.ckpt").unlink()
    with pytest.raises(FileNotFoundError, match="make it with"):
        strength(study_of(copy))


def test_a_rate_within_its_binomial_interval_is_not_weaker():
    assert weaker(0.50, 100, 0.60, 100) is False
    assert weaker(0.50, 1000, 0.60, 1000) is True
    assert weaker(0.60, 1000, 0.50, 1000) is False
    assert weaker(None, 0, 0.5, 10) is None
    assert weaker(0.0, 3, 1 / 3, 3) is False


def test_an_iterative_attack_that_is_weaker_is_flagged():
    change, fooled = torch.full((400, 1, 2, 2), 0.05), torch.arange(400) < 300
    single = measured(FGSM(epsilon=0.1), change, fooled)
    weak, fine = (measured(BIM(epsilon=0.1), change, each) for each in (~fooled, fooled))
    name = "An iterative attack weaker than a single step"
    assert flag(flags(single, weak), name).raised is True
    assert flag(flags(single, fine), name).raised is False
    other = measured(BIM(epsilon=0.2), change, ~fooled)
    assert flag(flags(single, other), name).raised is None


def test_a_long_carlini_wagner_is_flagged():
    fooled = torch.ones(4, dtype=torch.bool)
    near = measured(DeepFool(), torch.full((4, 1, 2, 2), 0.1), fooled)
    far, close = (measured(CarliniWagnerL2(), torch.full((4, 1, 2, 2), size), fooled) for size in (0.2, 0.05))
    sure = measured(CarliniWagnerL2(confidence=5.0), torch.full((4, 1, 2, 2), 0.2), fooled)
    name = "C&W did not converge"
    assert flag(flags(near, far), name).raised is True
    assert flag(flags(near, close), name).raised is False
    assert flag(flags(near, sure), name).raised is None


@pytest.mark.parametrize(
    ("attack", "size", "broken"),
    [
        (FGSM(epsilon=0.1), 0.1, False),
        (FGSM(epsilon=0.1), 0.11, True),
        (PGD(epsilon=0.2, norm="l2"), 0.1, False),
        (PGD(epsilon=0.19, norm="l2"), 0.1, True),
        (DeepFool(), 0.4, False),
        (DeepFool(), 0.6, True),
        (DeepFool(), math.nan, True),
    ],
)
def test_box_and_budget_are_checked_on_the_images(attack, size, broken):
    one = measured(attack, torch.full((2, 1, 2, 2), size), torch.ones(2, dtype=torch.bool))
    assert flag(flags(one), "Box or budget violated").raised is broken


def test_budgets_by_norm():
    assert is_linf(FGSM())
    assert is_linf(PGD())
    assert not is_linf(PGD(norm="l2"))
    assert not is_linf(DeepFool())


@dataclass(frozen=True, kw_only=True)
class Restless(Attack):
    """Draws from the global random state, as an attack must not."""

    def perturb(self, problem):
        return (problem.images + 0.01 * torch.rand_like(problem.images)).clamp(0, 1)


@pytest.mark.slow
def test_an_attack_that_is_not_repeatable_is_flagged(finished):
    study = study_of(finished)
    found = measure_attack(study, study.images.under("restless", Restless()))
    assert not found.cost.repeatable
    assert flag(flags(found), "Non-determinism").raised


@pytest.mark.slow
def test_a_classifier_without_gradients_is_flagged(finished):
    study = study_of(finished)
    nn.init.zeros_(study.classifier.network.layers[-1].weight)
    gradients = flag(strength(study).flags, "Zero or non-finite gradients")
    assert gradients.raised
    assert "40 of 40" in gradients.sentence


@pytest.mark.slow
def test_a_classifier_that_is_never_right_is_told(finished):
    study = study_of(finished)
    study.images.labels = torch.full_like(study.images.labels, 99)
    found = strength(study)
    assert "no test image right" in found.finding
    assert {each["success_rate"] for each in found.rows} == {None}
    json.dumps(list(found.rows), allow_nan=False)


def test_rates_have_an_interval_and_say_of_how_many_images(found):
    for each in found.rows:
        hits = round(each["success_rate"] * each["right_before"])
        ends = stats.binomtest(hits, each["right_before"]).proportion_ci(method="exact")
        assert (each["success_rate_low"], each["success_rate_high"]) == pytest.approx((ends.low, ends.high))
    line, record = found.tables[0].rows[0], found.rows[0]
    shown = "{success_rate:.3f} [{success_rate_low:.3f}, {success_rate_high:.3f}]".format(**record)
    assert (line[0], line[1]) == (record["attack"], shown)
    assert f"of the {record['right_before']} images that the classifier gets right" in found.tables[0].note
