"""What one call of an attack is about: its parts, its random numbers, its count of passes."""

from itertools import chain

import pytest
import torch
from torch import nn

from attacks import problem as module
from attacks.problem import Counted, Passes, Problem


@pytest.fixture
def whole(linear, images, labels):
    return Problem(linear, images, labels, region=torch.rand(8, 1, 12, 12) < 0.5, seed=11)


def counted(linear, images, labels):
    passes = Passes(images)
    return passes, Problem(Counted(linear, passes), images, labels)


def drawn(problem):
    return [torch.rand((), generator=generator).item() for generator in problem.generators()]


@pytest.mark.parametrize(
    "rows",
    [slice(2, 5), torch.tensor([6, 0, 3]), torch.tensor([True, False] * 4), torch.tensor([], dtype=torch.long)],
    ids=["slice", "indices", "mask", "none"],
)
def test_part_has_the_rows_of_everything(whole, rows):
    part = whole[rows]
    for name in ("images", "labels", "region"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[rows])
    assert len(part) == len(whole.images[rows])
    assert (part.seed, part.model) == (11, whole.model)
    assert len(whole) == 8


def test_part_of_a_problem_without_region_has_none(linear, images, labels):
    assert Problem(linear, images, labels)[:3].region is None


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 7, 8, 9, 13, 30])
def test_chunks_and_batches_are_nearly_equal_in_order_and_complete(count, linear, monkeypatch):
    monkeypatch.setattr(module, "_PIXELS_PER_THREAD", 5 * 144)
    whole = Problem(linear, torch.rand(count, 1, 12, 12), torch.arange(count))
    chunks = [chunk.labels.tolist() for chunk in whole.chunks()]
    assert [*chain(*chunks)] == list(range(count))
    rows = torch.arange(100).flip(0)[:count]
    batches = [batch.tolist() for batch in whole.batches(rows)]
    assert [*chain(*batches)] == rows.tolist()
    for parts in (chunks, batches):
        sizes = [len(part) for part in parts]
        assert max(sizes, default=0) <= 5
        assert max(sizes, default=0) - min(sizes, default=0) <= 1
        assert len(sizes) == -(-count // 5)


def test_chunks_hold_four_images_however_large(linear, monkeypatch):
    monkeypatch.setattr(module, "_PIXELS_PER_THREAD", 1)
    whole = Problem(linear, torch.rand(8, 1, 12, 12), torch.arange(8))
    assert [len(chunk) for chunk in whole.chunks()] == [4, 4]


def test_small_images_are_one_chunk(whole):
    assert [len(chunk) for chunk in whole.chunks()] == [8]


def test_change_outside_the_region_is_cut(whole, linear, images, labels):
    change = torch.randn(8, 3, 12, 12)
    assert torch.equal(whole.within_region(change), torch.where(whole.region, change, 0))
    assert torch.equal(Problem(linear, images, labels).within_region(change), change)


def test_random_numbers_of_an_image_depend_on_nothing_but_its_values_and_the_seed(whole):
    expected = drawn(whole)
    order = torch.tensor([5, 2, 7])
    assert drawn(whole[order]) == [expected[i] for i in order]
    assert drawn(whole[3:4]) == expected[3:4]
    assert drawn(whole) == expected


def test_random_numbers_of_different_images_and_seeds_are_different(whole, linear, images, labels):
    assert len(set(drawn(whole))) == 8
    other = drawn(Problem(linear, images, labels, seed=12))
    assert not set(other) & set(drawn(whole))


def test_random_numbers_of_images_that_differ_in_the_last_bit_are_different(linear, images, labels):
    nearly = images.clone()
    nearly[:, 0, 4, 4] = torch.nextafter(images[:, 0, 4, 4], torch.tensor(0.5))
    assert not set(drawn(Problem(linear, images, labels))) & set(drawn(Problem(linear, nearly, labels)))


def test_random_numbers_do_not_depend_on_the_memory_layout(linear, labels):
    images = torch.rand(8, 3, 12, 12)
    other = images.contiguous(memory_format=torch.channels_last)
    assert drawn(Problem(linear, images, labels)) == drawn(Problem(linear, other, labels))


def test_passes_are_counted_for_the_rows_of_the_part(linear, images, labels):
    passes, whole = counted(linear, images, labels)
    part = whole[2:6][torch.tensor([3, 0])]  # images 5 and 2
    for problem in (whole, part, part):
        problem.model(problem.images.clone().requires_grad_()).sum().backward()
    assert passes.forward.tolist() == passes.backward.tolist() == [1, 1, 3, 1, 1, 3, 1, 1]


def test_passes_back_are_counted_as_often_as_they_happen(linear, images, labels):
    passes, whole = counted(linear, images, labels)
    points = whole[:3].images.clone().requires_grad_()
    logits = whole[:3].model(points)
    assert passes.backward.tolist() == [0] * 8
    for number in range(2):
        torch.autograd.grad(logits[:, number].sum(), points, retain_graph=True)
    assert passes.forward.tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert passes.backward.tolist() == [2, 2, 2, 0, 0, 0, 0, 0]


def test_batch_that_repeats_or_splits_the_images_is_spread_evenly(linear, images, labels):
    passes, whole = counted(linear, images, labels)
    part = whole[4:]
    part.model(part.images.repeat(3, 1, 1, 1))
    part.model(part.images[:1])
    assert passes.forward.tolist() == [0] * 4 + [3.25] * 4


def test_no_gradient_is_counted_without_one(linear, images, labels):
    passes, whole = counted(linear, images, labels)
    with torch.no_grad():
        whole.model(images)
    assert passes.forward.tolist() == [1] * 8
    assert passes.backward.tolist() == [0] * 8


def test_view_of_a_part_keeps_the_mode_of_the_view(linear, images):
    view = Counted(nn.Sequential(linear, nn.Dropout()), Passes(images)).eval()
    assert not view.select(slice(2)).training
    assert view.train().select(slice(2)).training
