"""Sim-Ratio and Avg-Diff of two maps."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_accuracy

from saliency.similarity import average_difference, similarity_ratio


def maps(*values):
    return torch.tensor(values).view(1, 1, 1, -1)


def test_by_hand():
    first, second = maps(1.0, 0.0, -2.0, 3.0), maps(4.0, -1.0, 0.0, 0.0)
    assert similarity_ratio(first, second).tolist() == [0.75]  # passed: 1 0 0 1 and 1 0 0 0
    assert similarity_ratio(first, second, signed=False).tolist() == [0.25]  # 1 0 1 1 and 1 1 0 0
    assert average_difference(first, second).tolist() == pytest.approx([1 / 6])  # averages 6 / 4 and 5 / 4


def test_where_nothing_is_left():
    zero, one = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    assert average_difference(zero, zero).tolist() == [0, 0]
    assert average_difference(zero, one).tolist() == average_difference(one, zero).tolist() == [1, 1]
    assert similarity_ratio(zero, zero).tolist() == [1, 1]
    assert similarity_ratio(zero, one).tolist() == [0, 0]
    assert similarity_ratio(zero[:0], zero[:0]).shape == average_difference(zero[:0], zero[:0]).shape == (0,)


def test_the_ratio_is_the_accuracy_of_one_map_for_the_other():
    first, second = torch.randn(5, 3, 6, 7), torch.randn(5, 3, 6, 7)
    passed = [(each > 0).flatten(1).int() for each in (first, second)]
    expected = [binary_accuracy(one, two).item() for one, two in zip(*passed, strict=True)]
    assert similarity_ratio(first, second).tolist() == pytest.approx(expected)


@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_properties(seed, scale):
    first, second = torch.randn(2, 3, 2, 5, 4, generator=torch.Generator().manual_seed(seed))
    for measure in (similarity_ratio, average_difference):
        assert torch.equal(measure(first, second), measure(second, first))
        assert ((measure(first, second) >= 0) & (measure(first, second) <= 1)).all()
        assert torch.equal(measure(first, second)[1:2], measure(first[1:2], second[1:2]))
    assert torch.equal(similarity_ratio(first, second), similarity_ratio(scale * first, second))
    apart = average_difference(first, scale * first)
    assert apart.tolist() == pytest.approx([1 - min(scale, 1 / scale)] * 3, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("measure", [similarity_ratio, average_difference])
@pytest.mark.parametrize(
    ("first", "second"), [((2, 1, 4, 4), (1, 1, 4, 4)), ((2, 4, 4), (2, 4, 4)), ((2, 1, 0, 4), (2, 1, 0, 4))]
)
def test_other_shapes_are_refused(measure, first, second):
    with pytest.raises(ValueError, match=r"maps must come in pairs of one shape \(N, C, H, W\), got"):
        measure(torch.zeros(first), torch.zeros(second))
