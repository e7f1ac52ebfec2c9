"""Splits are disjoint and complete, whatever the sizes."""

import hypothesis
import pytest
import torch
from hypothesis import strategies

from data.splits import SHARES, divide, shuffled, with_copies_together, with_validation

properties = hypothesis.settings(max_examples=80, deadline=None, derandomize=True, database=None)


@strategies.composite
def shares(draw):
    weights = draw(strategies.lists(strategies.integers(1, 50), min_size=1, max_size=6))
    return {f"part {i}": weight / sum(weights) for i, weight in enumerate(weights)}


@properties
@hypothesis.given(count=strategies.integers(400, 3000), parts=shares())
def test_divide_gives_every_position_to_one_part_in_the_given_order(count, parts):
    positions = shuffled(count, seed=count)
    divided = divide(positions, parts)
    assert list(divided) == list(parts)
    assert torch.equal(torch.cat(list(divided.values())), positions)


@properties
@hypothesis.given(count=strategies.integers(400, 3000), parts=shares())
def test_divide_gives_every_part_its_share_within_one_image(count, parts):
    divided = divide(torch.arange(count), parts)
    assert all(abs(len(divided[name]) - share * count) <= 1 for name, share in parts.items())


@pytest.mark.parametrize(
    "wrong",
    [{"a": 0.5, "b": 0.4}, {"a": 0.7, "b": 0.4}, {"a": 1.0, "b": 0.0}, {"a": 1.2, "b": -0.2}],
    ids=["below 1", "above 1", "zero", "negative"],
)
def test_shares_that_are_not_positive_and_sum_to_1_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must be positive and sum to 1, got \{'a'"):
        divide(torch.arange(100), wrong)


def test_too_few_images_are_refused_with_the_name_of_the_empty_part():
    with pytest.raises(ValueError, match=r"3 images are too few for the splits .*: calibration is empty; add"):
        divide(torch.arange(3), SHARES)


def test_usual_shares_sum_to_1():
    assert sum(SHARES.values()) == pytest.approx(1, abs=1e-12)


@properties
@hypothesis.given(count=strategies.integers(0, 500), seed=strategies.integers(0, 2**31))
def test_shuffled_positions_are_a_permutation_that_the_seed_decides(count, seed):
    order = shuffled(count, seed)
    assert sorted(order.tolist()) == list(range(count))
    assert torch.equal(order, shuffled(count, seed))


def test_other_seeds_give_other_orders():
    assert not torch.equal(shuffled(100, 0), shuffled(100, 1))


@properties
@hypothesis.given(count=strategies.integers(400, 3000), parts=shares(), seed=strategies.integers(0, 99))
def test_copies_are_never_divided_and_images_without_copies_stay_where_they_were(count, parts, seed):
    order = shuffled(count, seed)
    assert torch.equal(with_copies_together(order, torch.arange(count)), order)
    originals = torch.arange(count)
    copies = torch.randperm(count, generator=torch.Generator().manual_seed(seed))[: count // 4]
    originals[copies] = copies[: len(copies) // 3].repeat(4)[: len(copies)]
    together = with_copies_together(order, originals)
    divided = divide(together, parts, originals)
    assert torch.equal(torch.cat(list(divided.values())).sort().values, torch.arange(count))
    contents = [set(originals[part].tolist()) for part in divided.values()]
    assert sum(map(len, contents)) == len(set(originals.tolist()))
    assert all(abs(len(divided[name]) - share * count) <= 4 for name, share in parts.items())
    seen = dict.fromkeys(originals[order].tolist())
    assert list(dict.fromkeys(originals[together].tolist())) == list(seen)


@properties
@hypothesis.given(sizes=strategies.tuples(strategies.integers(10, 300), strategies.integers(10, 300)))
def test_validation_is_a_tenth_taken_out_of_its_own_split(sizes):
    first, second = sizes
    parts = {
        "classifier_train": torch.arange(first),
        "detector_train": torch.arange(first, first + second),
        "calibration": torch.arange(1000, 1010),
    }
    result = with_validation(parts)
    for name in ("classifier_train", "detector_train"):
        held_out = result[f"{name}_validation"]
        assert torch.equal(torch.cat([result[name], held_out]), parts[name])
        assert abs(len(held_out) - len(parts[name]) / 10) <= 1
    assert torch.equal(result["calibration"], parts["calibration"])
    assert len(parts["classifier_train"]) == first  # what was given is not changed
