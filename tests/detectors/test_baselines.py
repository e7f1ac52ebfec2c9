import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from detectors import Disagreement, MaskArea, MaxSoftmax
from detectors.baselines import odds_against


@given(st.lists(st.floats(-8, 8), min_size=2, max_size=6), st.data())
def test_odds_equal_their_definition_in_float64(logits, data):
    number = data.draw(st.integers(0, len(logits) - 1))
    total = math.fsum(math.exp(value) for value in logits)
    own = math.exp(logits[number]) / total
    others = math.fsum(math.exp(value) for index, value in enumerate(logits) if index != number) / total
    score = odds_against(torch.tensor([logits], dtype=torch.float64), torch.tensor([number]))
    assert score.item() == pytest.approx(math.log(others / own), abs=1e-9)


def test_odds_do_not_tie_where_the_softmax_is_exactly_1():
    logits = torch.tensor([[40.0, 0.0, -3.0], [50.0, 0.0, -3.0], [200.0, 0.0, -3.0]])
    assert logits.softmax(1)[:, 0].eq(1).all()
    scores = odds_against(logits, torch.zeros(3, dtype=torch.long))
    rest = math.log(1 + math.exp(-3))
    assert torch.allclose(scores, torch.tensor([rest - 40, rest - 50, rest - 200]))


def test_odds_are_finite_where_the_softmax_is_exactly_0():
    logits = torch.tensor([[-500.0, 0.0], [-900.0, 0.0]])
    assert odds_against(logits, torch.zeros(2, dtype=torch.long)).tolist() == [500, 900]


def test_odds_of_negative_logits_exclude_the_class_and_not_by_0():
    score = odds_against(torch.tensor([[-5.0, -7.0]]), torch.tensor([0]))
    assert score.item() == pytest.approx(-2)


def test_odds_leave_the_logits_unchanged():
    logits = torch.randn(3, 4)
    before = logits.clone()
    odds_against(logits, torch.tensor([0, 1, 2]))
    assert torch.equal(logits, before)


def test_max_softmax_falls_with_the_largest_probability(world):
    logits = world.classifier(world.images).double()
    largest = logits.softmax(1).amax(1)
    scores = MaxSoftmax(world.classifier)(world.images)
    assert torch.allclose(scores.double(), ((1 - largest) / largest).log(), atol=1e-3)
    assert torch.equal(scores.argsort(), largest.argsort(descending=True))


def test_mask_area_is_minus_the_mean_of_the_predicted_class_s_map(world):
    predicted = world.classifier(world.images).argmax(1)
    expected = -world.saliency.masks(world.images, predicted).mean((1, 2, 3))
    scores = MaskArea(world.classifier, world.saliency)(world.images)
    assert torch.allclose(scores, expected)
    assert scores.max() <= 0
    assert scores.min() >= -1


def test_disagreement_grows_as_the_encoder_doubts_the_predicted_class(world):
    predicted = world.classifier(world.images).argmax(1)
    probability = world.saliency.encode(world.images).double().softmax(1)[torch.arange(16), predicted]
    scores = Disagreement(world.classifier, world.saliency)(world.images)
    assert torch.allclose(scores.double(), ((1 - probability) / probability).log(), atol=1e-4)
    assert len(predicted.unique()) > 1
