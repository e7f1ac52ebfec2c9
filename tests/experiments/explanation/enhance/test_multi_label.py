"""Images of two classes, side by side."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from experiments.explanation.enhance.multi_label import side_by_side


@pytest.mark.parametrize("width", [2, 7, 8])
def test_the_middle_halves_of_two_images_side_by_side(width):
    """Every pixel of an image holds the image's number, and its column."""
    columns = torch.arange(width).float().expand(6, 1, 3, width) / 100
    numbers = torch.arange(6.0)[:, None, None, None].expand(6, 1, 3, width) / 10
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    found = side_by_side(torch.cat([numbers, columns], 1), labels)
    assert found.images.shape == (3, 2, 3, width)
    half = width // 2
    for image, (first, second) in zip(found.images, found.classes, strict=True):
        left, right = (part.unique() for part in (image[0, :, :half], image[0, :, half:]))
        assert len(left) == len(right) == 1
        assert [int(labels[round(10 * each.item())]) for each in (left, right)] == [first, second]
        shown = [round(100 * each) for each in image[1, 0].tolist()]
        for part in (shown[:half], shown[half:]):
            start = (width - len(part)) // 2
            assert part == list(range(start, start + len(part)))


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(0, 5))
def test_pairs_are_disjoint_and_of_different_classes(labels, seed):
    images = (torch.arange(len(labels)) / 100).view(-1, 1, 1, 1).expand(-1, 1, 2, 4)
    found = side_by_side(images, torch.tensor(labels, dtype=torch.long), seed)
    used = [round(100 * image[0, 0, side].item()) for image in found.images for side in (0, 3)]
    assert len(set(used)) == len(used)
    assert [labels[row] for row in used] == [each for pair in found.classes for each in pair]
    assert all(first != second for first, second in found.classes)
    left = [labels[row] for row in range(len(labels)) if row not in used]
    assert len(set(left)) <= 1  # no further pair is possible
    again = side_by_side(images, torch.tensor(labels, dtype=torch.long), seed)
    assert torch.equal(again.images, found.images)


def test_too_narrow_images_are_refused():
    with pytest.raises(ValueError, match="at least 2 pixels wide, got 1"):
        side_by_side(torch.zeros(4, 1, 5, 1), torch.arange(4))
