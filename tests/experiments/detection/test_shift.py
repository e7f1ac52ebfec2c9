"""evaluate.py shift: samples of distances, their comparison, and what the protocol makes of them."""

import math
import shutil

import pytest
import torch
from rich.progress import Progress
from scipy.stats import mannwhitneyu

from attacks import FGSM
from experiments.detection.shift.measure import ratio
from experiments.detection.shift.protocol import shift
from experiments.detection.shift.records import FIXED, FULL, NOISE, SAME, SWAPPED
from experiments.results.bootstrap import Resampling, superiority
from experiments.results.result import read_result, write_result
from experiments.results.two_samples import Comparison, compare, draw, same_class
from experiments.study.maps import cosine, distance, maps_of, structure
from experiments.study.study import Study
from experiments.training.run_folder import Run
from tests.experiments.stand_ins import COUNT, stand_in


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return stand_in(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def found(study):
    return shift(study, resamples=50)


def rows_of(found, **wanted):
    return [row for row in found.rows if all(row[key] == value for key, value in wanted.items())]


@pytest.mark.parametrize("limit", [None, 7])
@pytest.mark.parametrize("images", [0, 3, 4, 41, 200])
def test_no_image_is_dealt_out_twice(images, limit):
    dealt = draw(images, limit)
    every = torch.cat([dealt.same, dealt.first, dealt.second])
    assert len(every.unique()) == len(every)
    assert ((every >= 0) & (every < images)).all()
    assert len(dealt.first) == len(dealt.second) == min(images // 4, limit or images)
    assert len(dealt.same) == min(images - 2 * (images // 4), limit or images)
    assert torch.equal(draw(images, limit).same, dealt.same)


def test_pairs_of_one_class_are_disjoint_and_of_one_class():
    classes = torch.tensor([3, 1, 3, 3, 1, 0, 3, 3])
    first, second = same_class(classes)
    assert torch.equal(classes[first], classes[second])
    assert len(torch.cat([first, second]).unique()) == 2 * len(first) == 6
    assert len(same_class(torch.tensor([0, 1, 2]))[0]) == 0


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 9), (40, 30)])
def test_the_comparison_is_scipys_with_ties_counted_half(n, m):
    x, y = torch.randint(0, 6, (n,)), torch.randint(0, 5, (m,))
    found = compare(x, y, 50)
    expected = mannwhitneyu(x.double().numpy(), y.double().numpy(), alternative="two-sided")
    wins = (x[:, None] > y).double() + (x[:, None] == y).double() / 2
    assert (found.u, found.p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.probability == pytest.approx(wins.mean().item())
    assert found.low <= found.high


def test_resamples_draw_from_both_samples():
    x, y = torch.randn(20), torch.randn(12) - 0.3
    found = superiority(x, y, Resampling(20, 3000).weights, Resampling(12, 3000, 1).weights)
    assert found.mean().item() == pytest.approx(compare(x, y, 10).probability, abs=0.01)
    n, m = 20, 12
    wins = (x[:, None] > y).double()
    by_x, by_y = wins.mean(1).var(correction=0), wins.mean(0).var(correction=0)
    rest = wins.var(correction=0) - by_x - by_y
    expected = by_x / n + by_y / m + rest / (n * m)
    assert found.var().item() == pytest.approx(expected.item(), rel=0.1)


def test_extremes_and_empty_samples():
    low, high = torch.arange(20.0), torch.arange(21.0) + 30
    assert (compare(high, low).probability, compare(high, low).verdict) == (1, "larger")
    assert (compare(low, high).probability, compare(low, high).direction) == (0, "X < Y")
    empty = compare(torch.empty(0), high)
    assert (empty.n, empty.n_different, empty.probability, empty.p_value, empty.verdict) == (0, 21, None, None, None)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.45, 0.55, "as large"),
        (0.51, 0.55, "as large"),
        (0.51, 0.60, "larger"),
        (0.40, 0.49, "smaller"),
        (0.40, 0.60, "not decided"),
        (0.50, 0.60, "not decided"),
    ],
)
def test_as_large_is_a_test_of_equivalence(low, high, verdict):
    assert Comparison(20, 20, 1.0, 0.5, 0.5, low, high).verdict == verdict


@pytest.mark.parametrize(("n", "m"), [(1, 1), (19, 40), (40, 19)])
def test_too_few_values_decide_nothing(n, m):
    found = compare(torch.arange(float(n)) + 100, torch.arange(float(m)))
    assert found.verdict == "not decided"
    assert min(n, m) == 1 or found.undecided == "19 values are too few to decide, it takes 20"


@pytest.mark.parametrize("value", [0.0, 3.5])
def test_values_that_are_all_equal_decide_nothing(value):
    found = compare(torch.full((100,), value), torch.full((50,), value))
    assert (found.probability, found.low, found.high, found.verdict) == (0.5, 0.5, 0.5, "not decided")
    apart = compare(torch.arange(50.0) + 10, torch.full((100,), value))  # of a model that collapsed on some images
    assert (apart.probability, apart.verdict, apart.undecided) == (1, "not decided", "all values of a sample are equal")


def test_values_that_are_not_known_do_not_count():
    nothing, known = torch.full((30,), torch.nan), torch.arange(40.0)
    assert (compare(nothing, known).n, compare(nothing, known).verdict) == (0, None)
    assert compare(torch.cat([known + 50, nothing]), known) == compare(known + 50, known)


def test_distances_and_likenesses_of_known_maps():
    zero, one = torch.zeros(2, 3, 12, 12), torch.ones(2, 3, 12, 12)
    assert distance(zero, 2 * one).tolist() == pytest.approx([2 * math.sqrt(3 * 144)] * 2)
    assert distance(zero, one).dtype == torch.float64
    assert cosine(one, 3 * one).tolist() == pytest.approx([1, 1])
    assert cosine(one, -one).tolist() == pytest.approx([-1, -1])
    assert cosine(zero, one).tolist() == [0, 0]
    assert cosine(zero, zero).tolist() == [1, 1]
    maps = torch.rand(2, 1, 12, 12)
    assert structure(maps, maps).tolist() == pytest.approx([1, 1])
    assert distance(maps[:0], maps[:0]).shape == (0,)


def test_a_ratio_of_means_of_pairs():
    whole = torch.rand(50) + 1
    found = ratio(whole / 4, whole, 100)
    assert (found.value, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))
    assert ratio(whole[:0], whole[:0], 100) is None
    assert ratio(whole[:3], torch.zeros(3), 100) is None


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(1, 12, 12), (3, 12, 16)])
def test_the_jacobian_of_a_linear_classifier_never_moves(shape, tmp_path):
    found = shift(stand_in(tmp_path, shape), resamples=50)
    rows = rows_of(found, map="jacobian", subset="all")
    assert {row["sample"] for row in rows} == {FULL, NOISE, SAME}
    assert all(row["mean"] == row["mean_different"] == 0 for row in rows)
    assert all((row["probability"], row["verdict"], row["p_value"]) == (0.5, "not decided", 1) for row in rows)


@pytest.mark.slow
def test_an_attack_that_does_nothing_moves_no_map_and_has_no_successful_pairs(found):
    for sample in (FULL, FIXED, SWAPPED, NOISE):
        (whole,) = rows_of(found, map="learnt", attack="none", sample=sample, subset="all")
        assert (whole["mean"], whole["probability"], whole["direction"]) == (0, 0, "X < Y")
        (empty,) = rows_of(found, map="learnt", attack="none", sample=sample, subset="successful")
        assert empty["n"] == 0
        assert {empty[key] for key in ("mean", "u", "p_value", "probability", "verdict", "ratio_to_full")} == {None}
    assert "not measured, without any such pair, for none" in found.finding
    assert found.flags[0].raised
    assert "none" in found.flags[0].sentence


def test_rows_are_the_distances_of_the_images_dealt_out(study, found):
    dealt, under, maps = draw(len(study.images.clean)), study.under("fgsm"), maps_of(study)[0]
    rows = dealt.same[under.subsets["successful"][dealt.same]]
    assert 0 < len(rows) < len(dealt.same)
    natural = maps.of(study.images.clean[rows], under.before[rows])
    for sample, images, classes in (
        (FULL, under.adversarial, under.after),
        (FIXED, under.adversarial, under.before),
        (SWAPPED, study.images.clean, under.after),
    ):
        expected = distance(natural, maps.of(images[rows], classes[rows]))
        (row,) = rows_of(found, map="learnt", attack="fgsm", sample=sample, subset="successful")
        assert row["mean"] == pytest.approx(expected.mean().item(), rel=1e-4)
        assert row["n"] == len(rows)
    assert not any(flag.raised for flag in found.flags[1:])


def test_without_a_learnt_model_it_says_so_and_looks_at_the_jacobian(tmp_path):
    found = shift(stand_in(tmp_path, learnt=False), resamples=50)
    assert {row["map"] for row in found.rows} == {"jacobian"}
    assert found.finding.startswith("The run has no learnt saliency model")


@pytest.mark.slow
def test_pairs_limits_the_samples(tmp_path):
    found = shift(stand_in(tmp_path), pairs=5, resamples=50)
    assert {(row["n"], row["n_different"]) for row in rows_of(found, sample=FULL, subset="all")} == {(5, 5)}
    with pytest.raises(ValueError, match="pairs must be at least 1"):
        shift(stand_in(tmp_path), pairs=0)


def test_a_saliency_model_that_is_not_trained_yet_is_told(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy, ignore=shutil.ignore_patterns("report"))
    (copy / "saliency/mask/model.ckpt").unlink()
    study = Study(Run(copy), torch.device("cpu"), Progress(disable=True), [])
    with pytest.raises(FileNotFoundError, match=r"lacks saliency/mask: make it with `python train\.py"):
        shift(study)


@pytest.mark.slow
def test_too_few_images_for_pairs_are_told_as_null(tmp_path):
    study = stand_in(tmp_path)
    study.data.test_limit = 3
    study.data._sets = {}
    assert len(study.images.clean) == 3 < COUNT
    found = shift(study, resamples=50)
    assert {row["probability"] for row in found.rows} == {None}
    assert {row["mean_different"] for row in found.rows} == {None}


@pytest.mark.slow
def test_it_is_the_same_again_and_can_be_written(study, found, tmp_path):
    assert found == shift(stand_in(study.run.folder), resamples=50)
    write_result(found, tmp_path)
    assert read_result(tmp_path / "shift.json")["report"]["figures"] == ["shift.png", "shift_successful.png"]
    assert all(list(row) == list(found.rows[0]) for row in found.rows)


@pytest.mark.slow
def test_stronger_attacks_move_maps_further(tmp_path):
    attacks = {"weak": FGSM(epsilon=0.02), "strong": FGSM(epsilon=0.3)}
    found = shift(stand_in(tmp_path, attacks=attacks), resamples=50)
    weak, strong = (rows_of(found, map="learnt", attack=a, sample=FIXED, subset="all")[0]["mean"] for a in attacks)
    assert 0 < weak < strong
