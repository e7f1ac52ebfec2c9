"""Explanations of a size against attacked regions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from torchmetrics.functional.classification import binary_auroc, binary_hamming_distance, binary_jaccard_index

from experiments.explanation.recover.overlaps import ranks
from saliency.recovery import auroc, descending, hits, jaccard, likeness, pooled, superpixel_ranks, union_sizes


def generators(count, seed=0):
    return [torch.Generator().manual_seed(seed + number) for number in range(count)]


def test_an_order_falls_and_ties_are_broken_at_random():
    values = torch.tensor([[0.1, 0.9, 0.5, 0.7], [4.0, 3.0, 2.0, 1.0]])
    assert descending(values, generators(2)).tolist() == [[1, 3, 2, 0], [0, 1, 2, 3]]
    flat = descending(torch.zeros(400, 10), generators(400))
    assert (flat.sort(1).values == torch.arange(10)).all()
    assert (torch.bincount(flat[:, 0], minlength=10) > 15).all()  # 40 expected, deviation 6
    assert torch.equal(descending(torch.zeros(3, 10), generators(3)), flat[:3])


def test_ties_of_some_leave_the_others_in_place():
    values = torch.tensor([[0.0, 0.0, 1.0, 0.0, 2.0]]).repeat(50, 1)
    found = descending(values, generators(50))
    assert (found[:, :2] == torch.tensor([4, 2])).all()
    assert len({tuple(row) for row in found[:, 2:].tolist()}) == 6


def test_superpixels_are_ranked_by_positive_weight():
    where = torch.tensor([[0, 0, 1], [2, 3, 3]])
    weights = torch.tensor([0.2, -1.0, 0.7, 0.0])[where]
    found, counts = superpixel_ranks(where[None], weights[None, None], generators(1))
    assert found.tolist() == [[[2, 2, 0], [1, 0, 0]]]
    assert counts.tolist() == [2]
    assert union_sizes(found, 4).tolist() == [[1, 3, 3, 3]]


def test_without_a_positive_weight_all_unions_are_empty():
    where = torch.tensor([[[0, 1]]])
    found, counts = superpixel_ranks(where, -torch.ones(1, 1, 1, 2), generators(1))
    assert (counts.tolist(), union_sizes(found, 3).tolist()) == ([0], [[0, 0, 0]])


def test_measures_of_a_hand_computed_case():
    region = torch.tensor([[True, True, True, False, False, False, False, False]])
    order = torch.tensor([[0, 7, 1, 6, 2, 5, 4, 3]])
    sizes = torch.tensor([[0, 1, 4, 8]])
    both = hits(order, region, sizes)
    assert both.tolist() == [[0, 1, 2, 3]]
    areas = torch.tensor([[3]])
    assert jaccard(both, sizes, areas).tolist() == [pytest.approx([0, 1 / 3, 2 / 5, 3 / 8])]
    assert likeness(both, sizes, areas, 8).tolist() == [pytest.approx([1 - 3 / 8, 1 - 2 / 8, 1 - 3 / 8, 1 - 5 / 8])]
    assert auroc(order, region).tolist() == pytest.approx([1 - (0 + 1 + 2) / 15])


def test_a_perfect_explanation():
    region = torch.tensor([[False, True, True, False]])
    order, areas = torch.tensor([[2, 1, 0, 3]]), torch.tensor([[2]])
    both = hits(order, region, areas)
    assert (
        jaccard(both, areas, areas).item() == likeness(both, areas, areas, 4).item() == auroc(order, region).item() == 1
    )


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), pixels=st.integers(2, 60))
def test_torchmetrics_says_the_same_of_the_masks(seed, pixels):
    generator = torch.Generator().manual_seed(seed)
    region = torch.rand(1, pixels, generator=generator) < 0.3
    region[0, 0], region[0, -1] = True, False
    values = torch.rand(1, pixels, generator=generator)
    size = torch.randint(1, pixels + 1, (1, 1), generator=generator)
    order = descending(values, [generator])
    mask = torch.zeros(pixels, dtype=torch.long)
    mask[order[0, : int(size)]] = 1
    both, areas = hits(order, region, size), region.sum(1, keepdim=True)
    truth = region[0].long()
    assert jaccard(both, size, areas).item() == pytest.approx(binary_jaccard_index(mask, truth).item())
    wrong = binary_hamming_distance(mask, truth).item()
    assert likeness(both, size, areas, pixels).item() == pytest.approx(1 - wrong, abs=1e-6)
    assert auroc(order, region).item() == pytest.approx(binary_auroc(values[0], truth).item(), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_of_one_size_both_measures_rank_alike(seed):
    generator = torch.Generator().manual_seed(seed)
    region = torch.rand(5, 30, generator=generator) < 0.4
    region[:, 0] = True
    sizes, areas = torch.randint(0, 31, (5, 4), generator=generator), region.sum(1, keepdim=True)
    both = [hits(descending(torch.rand(5, 30, generator=generator), [generator] * 5), region, sizes) for _ in range(3)]
    by_jaccard = ranks(torch.stack([jaccard(each, sizes, areas) for each in both]))
    by_likeness = ranks(torch.stack([likeness(each, sizes, areas, 30) for each in both]))
    assert torch.equal(by_jaccard, by_likeness)
    assert (by_jaccard.sum(0) == 6).all()


def test_ranks_are_scipys_with_ties_averaged():
    scores = torch.tensor([[0.5, 0.1], [0.5, 0.3], [0.9, 0.3]])
    assert ranks(scores).tolist() == [[2.5, 3.0], [2.5, 1.5], [1.0, 1.5]]
    many = torch.randint(0, 4, (5, 7, 3)).double()
    assert ranks(many)[:, 2, 1].tolist() == list(rankdata([-value for value in many[:, 2, 1].tolist()]))


def test_a_pooled_map_has_the_mean_of_each_superpixel():
    superpixels = torch.tensor([[[0, 0], [1, 1]], [[0, 1], [2, 0]]])
    maps = torch.tensor([[[[1.0, 3.0], [0.0, 5.0]]], [[[2.0, 7.0], [9.0, 4.0]]]])
    expected = torch.tensor([[[2.0, 2.0], [2.5, 2.5]], [[3.0, 7.0], [9.0, 3.0]]])
    assert torch.equal(pooled(maps, superpixels), expected)
    assert torch.equal(pooled(maps[:, 0], superpixels), expected)
