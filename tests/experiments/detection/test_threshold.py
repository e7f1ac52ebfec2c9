"""evaluate.py threshold: sizes at which detection fails, rows, flags and the sentence."""

import json
from dataclasses import asdict, fields, replace

import pytest
import torch

from attacks import BIM, FGSM, PGD
from detectors import metrics
from experiments.detection.threshold.crossings import (
    FEWEST_PAIRS,
    UNSURE,
    claim,
    crossing,
    interpolated,
    lowest_of,
    surely_fails,
)
from experiments.detection.threshold.flags import _growth, _largest, _noise, _zero
from experiments.detection.threshold.protocol import EPSILONS, threshold
from experiments.detection.threshold.records import ThresholdRow
from experiments.detection.threshold.tables import finding, tables_of
from experiments.results.bootstrap import Statistic
from experiments.results.result import write_result
from experiments.study.budgets import resized
from tests.experiments.studies import copy_of, study_of

SIZES = [0.0, 0.05, 0.3]


@pytest.fixture(scope="module")
def found(finished):
    return threshold(study_of(finished), epsilons=SIZES)


def row(found, **wanted):
    (one,) = [row for row in found.rows if all(row[key] == value for key, value in wanted.items())]
    return one


def row_of(record):
    keys = {field.name for field in fields(ThresholdRow)} - {"metrics"}
    metrics = {key: value for key, value in record.items() if key not in keys}
    return ThresholdRow(**{key: record.get(key) for key in keys}, metrics=metrics)


def flag(found, name):
    (one,) = [each for each in found.flags if each.name == name]
    return one


def test_the_default_sizes_are_those_of_the_issue():
    assert min(size for size in EPSILONS if size) == 0.005
    assert max(EPSILONS) == 0.3
    assert 0 in EPSILONS


def test_a_crossing_is_interpolated():
    at = crossing([0.01, 0.02, 0.04], [0.5, 0.7, 0.8])
    assert at.below == pytest.approx(0.03)
    assert at.fails is True
    assert str(at) == "0.0300"


def test_a_value_at_the_level_is_not_under_it():
    assert crossing([0.1, 0.2], [0.75, 0.9]).below is None
    assert crossing([0.1, 0.2], [0.5, 0.75]).below == pytest.approx(0.2)


def test_a_detector_that_never_fails():
    at = crossing([0.01, 0.02], [0.8, 0.9])
    assert (at.below, at.reached, at.fails) == (None, True, False)
    assert str(at) == "none down to 0.01"


def test_a_detector_that_never_finds_anything():
    at = crossing([0.01, 0.02], [0.5, 0.6])
    assert (at.below, at.reached, at.fails) == (None, False, True)
    assert str(at) == "never reached"


def test_the_search_starts_where_detection_is_best():
    falls_again = crossing([0.01, 0.02, 0.03], [0.5, 1.0, 0.6])
    assert falls_again.below == pytest.approx(0.015)
    dip = crossing([0.01, 0.02, 0.03], [0.8, 0.6, 0.9])
    assert dip.below == pytest.approx(0.025)


def test_null_is_passed_over():
    at = crossing([0.01, 0.02, 0.03], [None, 0.5, 1.0])
    assert at.below == pytest.approx(0.025)
    assert crossing([0.01], [None]).fails is None
    assert str(crossing([], [])) == "not measured"


def test_interpolation_of_another_value():
    assert interpolated(0.025, [0.01, 0.02, 0.03], [1.0, 2.0, 4.0]) == pytest.approx(3)
    assert interpolated(0.015, [0.01, 0.02], [None, 2.0]) is None
    assert interpolated(0.5, [0.01, 0.02], [1.0, 2.0]) is None


def test_a_resized_attack_scales_its_steps():
    assert resized(FGSM(epsilon=0.1), 0.3) == FGSM(epsilon=0.3)
    other = resized(BIM(epsilon=0.1, step_size=0.02, steps=7), 0.05)
    assert (other.epsilon, other.steps) == (0.05, 7)
    assert other.step_size == pytest.approx(0.01)
    own = PGD(epsilon=0.3, step_size=0.1)
    assert resized(own, 0.3) is own
    assert resized(BIM(), 0.0).step_size == 0


def test_rows_are_detectors_by_sizes_by_subsets(found, finished):
    cells = {(r["detector"], r["trained_on"], r["attack"], r["epsilon"], r["subset"]) for r in found.rows}
    names = [(each.name, each.trained_on) for each in study_of(finished).contenders]
    assert names[:2] == [("id", "fgsm"), ("spd", "fgsm")]
    assert cells == {(n, t, "fgsm", e, s) for n, t in names for e in SIZES for s in ("all", "successful")}
    assert len(cells) == len(found.rows)
    assert {tuple(each) for each in found.rows} == {tuple(found.rows[0])}
    json.dumps([list(found.rows), found.meta["crossings"]], allow_nan=False)


def test_epsilon_0_is_the_clean_result(found):
    assert {each["auroc"] for each in found.rows if each["epsilon"] == 0 and each["subset"] == "all"} == {0.5}
    assert {each["accuracy"] for each in found.rows if each["epsilon"] == 0 and each["trained_on"]} <= {0.5, None}
    empty = row(found, detector="id", epsilon=0.0, subset="successful")
    assert empty["n"] == 0
    assert {empty[name] for name in ("auroc", "accuracy", "tpr_at_5_fpr", "median_l2", "auroc_rounded")} == {None}
    assert flag(found, "Epsilon 0 is not the clean result").raised is False


def test_numbers_are_those_of_the_attack(found, finished):
    study = study_of(finished)
    under = study.images.under("other", FGSM(epsilon=0.3))
    (detector,) = [each for each in study.trained if each.name == "id"]
    clean, scores = study.images.scores(detector.module), study.images.scores(detector.module, under)
    one = row(found, detector="id", epsilon=0.3, subset="all")
    assert one["auroc"] == metrics.auroc(clean, scores)
    assert one["accuracy"] == metrics.balanced_accuracy(clean, scores)
    assert one["attack_success_rate"] == under.success_rate
    change = (under.adversarial[:] - study.images.clean[:]).flatten(1).double().norm(dim=1)
    assert one["median_l2"] == pytest.approx(change.quantile(0.5).item(), rel=1e-5)


@pytest.mark.slow
def test_the_same_again_from_the_store(found, finished):
    store = finished / "adversarial"
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*.pt")}
    again = threshold(study_of(finished), epsilons=list(reversed(SIZES)))
    assert again.rows == found.rows
    assert again.finding == found.finding
    assert again.figures == found.figures
    assert [asdict(each) for each in again.flags] == [asdict(each) for each in found.flags]
    assert before == {path: path.stat().st_mtime_ns for path in store.rglob("*.pt")}


def test_crossings_are_those_of_the_means(found):
    for each in found.meta["crossings"]:
        assert each["subset"] in {"all", "successful"}
        assert each["measure"] in {"auroc", "accuracy"}
        assert len(each["seeds"]) == 1
        assert each["seeds"] == [each["epsilon"]]
    rows = [row(found, detector="id", epsilon=size, subset="all") for size in (0.05, 0.3)]
    (one,) = [
        each
        for each in found.meta["crossings"]
        if (each["detector"], each["subset"], each["measure"]) == ("id", "all", "auroc")
    ]
    assert one["epsilon"] == crossing([0.05, 0.3], [each["auroc"] for each in rows]).below
    assert all(each["n"] >= FEWEST_PAIRS for each in rows)


def test_a_training_free_detector_has_no_accuracy(found):
    assert {each["accuracy"] for each in found.rows if each["trained_on"] is None} == {None}
    assert not [c for c in found.meta["crossings"] if c["trained_on"] is None and c["measure"] == "accuracy"]


def test_files_are_written(found, tmp_path):
    write_result(found, tmp_path)
    assert (tmp_path / "threshold.png").read_bytes().startswith(b"\x89PNG")
    assert "below which detection falls under" in (tmp_path / "threshold.md").read_text()


def test_seeds_have_mean_and_deviation(found):
    seeds = [replace(one, seed=seed) for one in map(row_of, found.rows) for seed in (0, 1)]
    meta = dict(found.meta) | {"seeds": [0, 1]}
    table = tables_of(seeds, found.meta["crossings"], meta)[1]
    assert [line[1] for line in table.rows[:2]] == ["attack success rate", "pairs"]
    assert "± 0.000" in table.rows[2][-1]
    assert "standard deviation" in table.note


def fails(smallest=0.005, **which):
    return {name: {"fails": value, "smallest_epsilon": smallest} for name, value in which.items()}


def test_the_claim_is_decided_by_who_fails():
    assert claim(fails(id=True, jsd=True, smd=False, spd=False), 0.005) == ("holds", "")
    assert claim(fails(id=True, jsd=True, smd=False, spd=True), 0.005) == ("does not hold", "spd fails too")
    assert claim(fails(id=False, jsd=True, smd=False, spd=False), 0.005) == ("does not hold", "id does not fail")
    few = claim(fails(0.02, id=False, jsd=True, smd=False, spd=False), 0.005)
    assert few == ("not decided", "id: too few pairs below 0.02")
    assert claim(fails(id=True, jsd=True, smd=None), 0.005) == ("not decided", "smd, spd not measured")


def test_one_detector_against_the_claim_suffices_whatever_the_others():
    assert claim(fails(id=None, jsd=True, smd=False, spd=True), 0.005) == ("does not hold", "spd fails too")
    assert claim(fails(id=False, jsd=True, smd=None, spd=None), 0.005) == ("does not hold", "id does not fail")
    few = fails(0.02, id=False) | fails(jsd=False, smd=False, spd=False)
    assert claim(few, 0.005) == ("does not hold", "jsd does not fail")


def areas(**ends):
    """AUROCs by size, in hundredths of epsilon, with intervals of these ends."""
    return {
        int(name[1:]) / 100: Statistic(sum(pair) / 2, torch.linspace(*pair, 41), 40).plain
        for name, pair in ends.items()
    }


def decided(where, sizes):
    lowest = lowest_of(where, sizes)
    return lowest and lowest[0], surely_fails(lowest and lowest[1])


def test_whether_a_detector_fails_is_decided_by_intervals():
    falls = crossing([0.01, 0.02], [0.6, 0.9])
    assert decided(falls, areas(e1=(0.55, 0.65), e2=(0.85, 0.95))) == (0.01, True)
    assert decided(falls, areas(e1=(0.5, 0.8), e2=(0.85, 0.95))) == (0.01, None)
    stays = crossing([0.01, 0.02, 0.03], [0.8, 0.9, 0.6])
    assert decided(stays, areas(e1=(0.77, 0.83), e2=(0.85, 0.95), e3=(0.5, 0.7))) == (0.01, False)
    assert decided(stays, areas(e1=(0.7, 0.83), e2=(0.85, 0.95), e3=(0.5, 0.7))) == (0.01, None)
    never = crossing([0.01, 0.02], [0.5, 0.6])
    assert decided(never, areas(e1=(0.45, 0.55), e2=(0.55, 0.65))) == (0.01, True)
    wide = crossing([0.01, 0.02, 0.03], [0.6, 0.7, 0.9])
    assert decided(wide, areas(e1=(0.3, 0.9), e2=(0.66, 0.74), e3=(0.85, 0.95))) == (0.02, True)
    assert decided(crossing([], []), {}) == (None, None)


def test_an_auroc_of_1_has_the_interval_of_so_many_pairs():
    where = crossing([0.01, 0.02], [1.0, 1.0])
    assert decided(where, areas(e1=(1.0, 1.0), e2=(1.0, 1.0))) == (0.01, False)
    size, ends, pairs = lowest_of(where, areas(e1=(1.0, 1.0)))
    assert (size, pairs) == (0.01, 40)
    assert (ends.low, ends.high) == (pytest.approx(0.025 ** (1 / 40)), 1.0)


def test_what_is_too_close_to_tell_is_not_decided():
    crossings = fails(id=True, jsd=None, smd=False, spd=None)
    crossings["jsd"]["reason"] = UNSURE
    assert claim(crossings, 0.005) == ("not decided", f"jsd {UNSURE}; spd not measured")


@pytest.mark.parametrize(("seeds", "said"), [(1, "speak against the claim (spd fails too)"), (3, "does not hold")])
def test_few_seeds_give_no_verdict(seeds, said):
    which = fails(id=True, jsd=True, smd=False, spd=True)
    rows = [
        values | {"attack": "fgsm", "detector": name, "subset": subset, "measure": "auroc"}
        for name, values in which.items()
        for subset in ("all", "successful")
    ]
    text = finding(rows, {"seeds": list(range(seeds)), "smallest": 0.005})
    assert said in text
    assert ("holds" in text or "does not hold" in text) is (seeds == 3)


def rates(*points, auroc=0.5, against_noise=0.5):
    """Rows of an attack with these success rates of 400 images at rising epsilons."""
    records = [
        {
            "attack": "fgsm",
            "detector": "id",
            "subset": "all",
            "epsilon": number / 10,
            "auroc": auroc,
            "auroc_against_noise": against_noise,
            "trained_on": "fgsm",
            "median_l2": 0.0,
            "attack_success_rate": rate,
            "right_before": 400,
        }
        for number, rate in enumerate(points)
    ]
    return list(map(row_of, records))


def test_flags_on_success_rates():
    assert _growth(rates(0.0, 0.5, 0.9)).raised is False
    assert _growth(rates(0.0, 0.51, 0.50)).raised is False
    assert _growth(rates(0.0, 0.9, 0.5)).raised is True
    assert _growth(rates(None, None)).raised is None
    assert _largest(rates(0.0, 0.99)).raised is False
    assert _largest(rates(0.0, 0.6)).raised is True
    assert _largest(rates(None)).raised is None
    assert _zero(rates(0.0, 0.5)).raised is False
    assert _zero(rates(0.1)).raised is True
    assert _zero(rates(0.0, 0.5)[1:]).raised is None


def test_an_area_that_is_not_known_raises_no_flag_and_breaks_none():
    assert _zero(rates(0.0, auroc=None)).raised is False
    assert "id on fgsm -" in _zero(rates(0.1, auroc=None)).sentence
    assert _noise(rates(0.0, 0.5, auroc=None)).raised is False


def test_a_detector_of_noise_is_flagged():
    found = rates(0.0, 0.5, auroc=0.9)
    assert _noise(found).raised is True
    assert "id on fgsm at 0.1" in _noise(found).sentence
    assert _noise(rates(0.0, 0.5, auroc=0.9, against_noise=0.9)).raised is False
    assert _noise(rates(0.0, 0.5)).raised is False


@pytest.mark.parametrize("sizes", [[-0.1], [0.0], [], [2.0], [float("nan")]])
def test_sizes_out_of_range_are_told(finished, sizes):
    with pytest.raises(ValueError, match="epsilons must lie in"):
        threshold(study_of(finished), epsilons=sizes)


def test_a_run_without_an_epsilon_is_told(finished, tmp_path):
    copy = copy_of(finished, tmp_path)
    study = study_of(copy)
    study.run.settings.attacks["fgsm"] = FGSM(epsilon=0.0)
    with pytest.raises(FileNotFoundError, match="train_on"):
        threshold(study, epsilons=SIZES)
