"""The lead of a class and when a prediction counts as changed, in closed form."""

import hypothesis
import pytest
import torch
from hypothesis import strategies
from torch import tensor

from attacks.margin import fooled, lead, rivals_of

INF = float("inf")
LOGITS = tensor([[3.0, 1.0, -2.0], [0.0, -1.0, 5.0], [2.0, 2.0, 0.0]])


def test_rivals_are_the_logits_without_the_labels_own():
    rivals = rivals_of(LOGITS, tensor([0, 1, 1]))
    assert rivals.tolist() == [[-INF, 1, -2], [0, -INF, 5], [2, -INF, 0]]
    assert LOGITS[0, 0] == 3  # not overwritten


def test_lead_is_over_the_best_other_class():
    assert lead(LOGITS, tensor([0, 1, 1])).tolist() == [2, -6, 0]
    assert lead(LOGITS, tensor([2, 2, 2])).tolist() == [-5, 5, -2]


def test_lead_of_two_classes_is_their_difference():
    assert lead(tensor([[0.25, 1.0]]), tensor([0])).tolist() == [-0.75]


def test_untargeted_means_that_another_class_leads_and_a_tie_does_not_count():
    assert fooled(LOGITS, tensor([0, 1, 1])).tolist() == [False, True, False]


def test_targeted_means_that_the_label_leads_and_a_tie_does_not_count():
    assert fooled(LOGITS, tensor([0, 1, 1]), targeted=True).tolist() == [True, False, False]


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_lead_must_be_more_than_rounding_of_the_largest_logit(scale):
    logits = scale * tensor([[1.0, 1 + 2e-6, 0.0], [1.0, 1 + 1e-5, 0.0], [0.0, 1e-5, -10.0]])
    assert fooled(logits, tensor([0, 0, 0])).tolist() == [False, True, False]
    assert fooled(logits, tensor([1, 1, 1]), targeted=True).tolist() == [False, True, False]


def test_nothing_counts_where_all_logits_are_0():
    for targeted in (False, True):
        assert fooled(torch.zeros(1, 3), tensor([1]), targeted=targeted).tolist() == [False]


@hypothesis.given(strategies.lists(strategies.floats(-1e6, 1e6), min_size=2, max_size=6), strategies.integers(0, 1))
def test_fooled_is_never_both_and_agrees_with_the_prediction(values, label):
    logits, labels = tensor([values], dtype=torch.float64), tensor([label])
    left, arrived = fooled(logits, labels), fooled(logits, labels, targeted=True)
    assert not (left & arrived).any()
    assert not left or logits.argmax(1) != labels
    assert not arrived or logits.argmax(1) == labels
