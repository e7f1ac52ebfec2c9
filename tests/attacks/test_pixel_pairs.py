"""The search of JSMA against a look at all pairs."""

import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attacks.pixel_pairs import best_pair, likely_pair

KINDS = {
    "independent": lambda t, o: (t, o),
    "many ties": lambda t, o: ((2 * t).round(), (2 * o).round()),
    "along": lambda t, o: (t, t + 0.1 * o),
    "against": lambda t, o: (t, 0.1 * o - t),
    "negative": lambda t, o: (-t.abs(), -o.abs()),
    "negative target": lambda t, o: (-t.abs(), o),
    "equal but for rounding": lambda t, o: (1 + 1e-6 * t, 1 + 1e-6 * o),
    "all on the front": lambda t, _: (t.sigmoid().mul(1.5).cos(), t.sigmoid().mul(1.5).sin()),
}


def looked_up(target, others, free):
    """The best pair of one row by all pairs in reading order; None where no pair has two positive sums."""
    first, second = target[:, None] + target, others[:, None] + others
    pairs = (free[:, None] & free).triu(1) & (first > 0) & (second > 0)
    scores = torch.where(pairs, first * second, -1)
    best = int((scores == scores.max()).flatten().nonzero()[0]) if scores.numel() else 0
    return divmod(best, len(target)) if scores.max() > 0 else None


def compare(target, others, free):
    """Compare both searches with all pairs; return where the one of fixed sizes knows its result."""
    pairs, found = best_pair(target, others, free)
    likely, likely_found, known = likely_pair(target, others, free)
    for row, expected in enumerate(map(looked_up, target, others, free)):
        assert bool(found[row]) == (expected is not None)
        assert bool(likely_found[row]) == (expected is not None) or not known[row]
        if expected is not None:
            assert tuple(pairs[row].tolist()) == expected
            assert tuple(likely[row].tolist()) == expected or not known[row]
    return known


@pytest.mark.parametrize("size", [1, 2, 3, 20, 65, 300])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_all_pairs(kind, size):
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(2, 4, size, generator=generator)
        share = torch.tensor([1.0, 0.5, 0.1, 0.0]).roll(seed)[:, None]
        known = compare(*KINDS[kind](*drawn), torch.rand(4, size, generator=generator) < share)
        assert known.all() or kind in {"against", "all on the front"}


SMALL = st.integers(-3, 3).map(float) | st.floats(-1, 1, width=32)


@given(st.lists(st.tuples(SMALL, SMALL, st.booleans()), min_size=1, max_size=12))
def test_equals_all_pairs_on_hard_rows(row):
    target, others, free = (torch.tensor(column)[None] for column in zip(*row, strict=True))
    compare(target.float(), others.float(), free)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=6), st.integers(65, 150))
def test_equal_values_beyond_a_block_are_taken_in_reading_order(pattern, size):
    repeated = torch.tensor((pattern * size)[:size], dtype=torch.float32)
    compare(repeated[None, :, 0], repeated[None, :, 1], torch.ones(1, size, dtype=torch.bool))


def test_equals_all_pairs_where_the_front_itself_is_longer_than_a_block():
    angle = torch.linspace(0.1, 1.4, 500)[None, torch.randperm(500)]
    bulge = 1 + 0.001 * torch.rand(1, 500)
    compare(bulge * angle.cos(), bulge * angle.sin(), torch.ones(1, 500, dtype=torch.bool))


def test_more_candidates_than_a_block_are_not_known_without_waiting():
    values = torch.arange(200.0)[None]
    assert not compare(values, 200 - values, torch.ones(1, 200, dtype=torch.bool)).item()


def test_all_values_equal_gives_the_first_two_free():
    free = torch.ones(1, 400, dtype=torch.bool)
    free[0, [0, 2]] = False
    pairs, found = best_pair(torch.ones(1, 400), torch.ones(1, 400), free)
    assert found.item()
    assert pairs.tolist() == [[1, 3]]


@pytest.mark.parametrize("free", [[], [1]])
def test_fewer_than_two_free_values_give_no_pair(free):
    allowed = torch.zeros(1, 80, dtype=torch.bool)
    allowed[0, free] = True
    assert not best_pair(torch.ones(1, 80), torch.ones(1, 80), allowed)[1].item()


def test_a_negative_value_is_taken_where_its_partner_makes_up_for_it():
    pairs, found = best_pair(torch.tensor([[5.0, -1, -9]]), torch.tensor([[-1.0, 5, -9]]), torch.ones(1, 3).bool())
    assert found.item()
    assert pairs.tolist() == [[0, 1]]


def test_two_negative_sums_are_no_pair():
    assert not best_pair(-torch.ones(1, 3), -torch.ones(1, 3), torch.ones(1, 3).bool())[1].item()


def test_rows_do_not_mix():
    target, others = torch.randn(2, 6, 200)
    free = torch.rand(6, 200) < 0.8
    pairs, found = best_pair(target, others, free)
    for row in range(6):
        alone = best_pair(target[row : row + 1], others[row : row + 1], free[row : row + 1])
        assert torch.equal(alone[0][0], pairs[row])
        assert alone[1][0] == found[row]


@pytest.mark.parametrize("kind", ["independent", "along", "against"])
def test_a_large_image_is_searched_exactly_and_fast(kind):
    size = 37_632
    drawn = torch.randn(2, 1, size, generator=torch.Generator().manual_seed(1))
    target, others = KINDS[kind](*drawn)
    start = time.perf_counter()
    pairs, found = best_pair(target, others, torch.ones(1, size, dtype=torch.bool))
    assert time.perf_counter() - start < 2
    assert found.item()
    target, others, (first, second) = target[0], others[0], pairs[0]
    score = (target[first] + target[second]) * (others[first] + others[second])
    # of values with a partner that is better in both, some hundred suffice: those at the top in some direction
    angles = torch.linspace(0, torch.pi / 2, 200)
    heights = angles.cos()[:, None] * target + angles.sin()[:, None] * others
    top = heights.topk(3, 1).indices.unique()
    for block in top.split(50):
        sums, rest = target[block, None] + target, others[block, None] + others
        scores = torch.where((sums > 0) & (rest > 0), sums * rest, 0)
        scores[torch.arange(len(block)), block] = 0
        assert scores.max() <= score
    assert first in top or second in top
    assert score > 0


def test_rows_without_a_pair_give_indices_that_exist():
    values = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    pairs, found = best_pair(values, values, torch.ones(2, 2, dtype=torch.bool))
    assert found.tolist() == [True, False]
    assert pairs.max() < 2
