from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from detectors import load
from detectors.calibration import rate_interval, threshold
from saliency.checkpoints import save
from tests.detectors.helpers import TRAINED, build
from tests.saliency.helpers import loader, short_trainer

SCORES = st.lists(st.integers(-6, 6), max_size=60).map(lambda values: torch.tensor(sorted(values), dtype=torch.float32))
THOUSANDTHS = st.integers(1, 999).map(lambda number: Fraction(number, 1000))


def _smallest_that_keeps_the_promise(scores, rate):
    """The smallest calibration score that at least (n + 1)(1 - a) of them do not exceed, in exact arithmetic."""
    values = scores.tolist()
    enough = [value for value in values if sum(other <= value for other in values) >= (len(values) + 1) * (1 - rate)]
    return min(enough, default=None)


@given(SCORES, THOUSANDTHS)
def test_threshold_is_the_order_statistic_found_by_brute_force(scores, rate):
    assert threshold(scores, float(rate)) == _smallest_that_keeps_the_promise(scores, rate)


@given(SCORES, THOUSANDTHS)
def test_share_of_calibration_scores_above_the_threshold_is_at_most_the_rate(scores, rate):
    limit = threshold(scores, float(rate))
    if limit is not None:
        assert (scores > limit).sum().item() <= rate * len(scores)


@given(SCORES.filter(len), THOUSANDTHS)
def test_each_of_exchangeable_scores_is_rejected_by_the_others_at_most_at_the_rate(scores, rate):
    rejected = 0
    for left_out in range(len(scores)):
        others = torch.cat([scores[:left_out], scores[left_out + 1 :]])
        limit = threshold(others, float(rate))
        rejected += limit is not None and scores[left_out].item() > limit
    assert rejected <= rate * len(scores)


@pytest.mark.parametrize(("count", "rate"), [(0, 0.5), (18, 0.05), (98, 0.01), (8, 0.1), (998, 0.001)])
def test_too_few_scores_give_no_threshold_and_one_more_gives_the_largest(count, rate):
    scores = torch.arange(count + 1.0)
    assert threshold(scores[:count], rate) is None
    if count:
        assert threshold(scores, rate) == count


@pytest.mark.parametrize("count", [9, 19, 99])
def test_rounding_of_floats_does_not_move_the_rank(count):
    # (n + 1)(1 - .7) is a whole number, but a little more than that in floats, whose ceiling is one too high
    assert threshold(torch.arange(1.0, count + 1), 0.7) == round(0.3 * (count + 1))


@pytest.mark.parametrize("rate", [0.999999, 1 - 1e-12])
def test_a_rate_close_to_1_gives_the_smallest_score(rate):
    assert threshold(torch.tensor([1.0, 2.0, 3.0]), rate) == 1


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused_with_a_sentence(rate):
    with pytest.raises(ValueError, match=f"must lie between 0 and 1, got {rate}"):
        threshold(torch.arange(50.0), rate)


EACH = pytest.mark.parametrize("name", TRAINED)


@EACH
def test_calibration_is_empty_before_and_gives_no_threshold(name, grey):
    detector = build(name, grey)
    assert detector.calibration.shape == (0,)
    assert detector.threshold(0.05) is None


@EACH
def test_calibration_survives_saving_and_loading(name, grey, tmp_path):
    detector = build(name, grey)
    detector.calibrate(torch.randn(99))
    save(detector, tmp_path / "model.ckpt")
    loaded = load(tmp_path / "model.ckpt")
    assert torch.equal(loaded.calibration, detector.calibration)
    assert loaded.threshold(0.05) == detector.threshold(0.05) == detector.calibration[94].item()


def test_an_empty_calibration_replaces_another_one_on_loading(grey):
    empty, full = build("ID", grey), build("ID", grey)
    full.calibrate(torch.randn(30))
    full.load_state_dict(empty.state_dict())
    assert full.calibration.shape == (0,)


def test_calibration_sorts_copies_and_detaches_the_scores(grey):
    detector = build("ID", grey)
    scores = torch.tensor([[3.0, -1.0], [2.0, 0.5]], requires_grad=True)
    detector.calibrate(scores)
    assert detector.calibration.tolist() == [-1, 0.5, 2, 3]
    assert not detector.calibration.requires_grad
    with torch.no_grad():
        scores.zero_()
    assert detector.calibration.tolist() == [-1, 0.5, 2, 3]


def test_calibration_moves_with_the_module(grey):
    detector = build("ID", grey)
    detector.calibrate(torch.randn(5))
    assert detector.double().calibration.dtype == torch.float64
    assert detector.to("meta").calibration.device.type == "meta"


def test_loading_keeps_the_module_s_device_and_type(grey):
    saved, other = build("ID", grey), build("ID", grey).double()
    saved.calibrate(torch.randn(5))
    other.load_state_dict(saved.state_dict())
    assert other.calibration.dtype == torch.float64
    assert torch.equal(other.calibration.float(), saved.calibration)


def test_calibration_is_in_the_checkpoint_that_lightning_writes(grey, tmp_path):
    detector = build("ID", grey)
    trainer = short_trainer(tmp_path, 1)
    trainer.fit(detector, loader(grey.images, torch.arange(16) % 2 == 1))
    detector.calibrate(torch.randn(20))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert torch.equal(load(tmp_path / "last.ckpt").calibration, detector.calibration)


def test_scores_of_a_calibrated_detector_keep_the_false_positive_rate(grey):
    detector = build("ID", grey)
    with torch.no_grad():
        scores = detector(torch.rand(3999, 1, 12, 12))
    detector.calibrate(scores[:1999])
    for rate in (0.05, 0.1, 0.3):
        assert (scores[:1999] > detector.threshold(rate)).sum().item() <= rate * 1999
        assert (scores[1999:] > detector.threshold(rate)).float().mean().item() == pytest.approx(rate, abs=0.05)


@pytest.mark.parametrize(("count", "rate"), [(99, 0.05), (300, 0.05), (1000, 0.01)])
def test_rate_of_the_threshold_lies_in_its_interval_as_often_as_it_says(count, rate):
    low, high = rate_interval(count, rate)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(2000, count, generator=generator).sort(1).values
    rates = torch.tensor([1 - threshold(scores, rate) for scores in drawn])  # of uniform scores
    assert ((rates >= low) & (rates <= high)).double().mean().item() == pytest.approx(0.95, abs=0.02)
    assert low < rate < high


def test_too_few_images_have_no_interval():
    assert rate_interval(18, 0.05) is None
    assert rate_interval(19, 0.05) is not None
