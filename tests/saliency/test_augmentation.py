"""Augmented training images: moved and mirrored copies of themselves, drawn anew and repeatably."""

import pytest
import torch
from torch import Generator
from torch.nn import functional

from saliency.augmentation import augmented


def candidates(image, flips):
    """Return every image that may be drawn: (number, C, H, W)."""
    top, left = (max(1, side // 8) for side in image.shape[1:])
    padded = functional.pad(image[None], (left, left, top, top), mode="reflect")[0]
    height, width = image.shape[1:]
    moved = [
        padded[:, row : row + height, column : column + width]
        for row in range(2 * top + 1)
        for column in range(2 * left + 1)
    ]
    return torch.stack(moved + [image.flip(2) for image in moved] * flips)


@pytest.mark.parametrize(("augmentation", "flips"), [("shift", False), ("shift-flip", True)])
@pytest.mark.parametrize("shape", [(3, 16, 8), (1, 7, 9)])
def test_every_moved_image_is_drawn_equally_often_and_no_other(augmentation, flips, shape):
    image = torch.rand(shape)
    drawn = augmented(image.expand(6000, *shape), augmentation, Generator().manual_seed(0))
    allowed = candidates(image, flips)
    found = (drawn[:, None] == allowed).flatten(2).all(2)
    assert drawn.shape == (6000, *shape)
    assert (found.sum(1) == 1).all()
    expected = 6000 / len(allowed)
    assert (found.sum(0) - expected).abs().max() < 5 * expected**0.5


def test_the_same_generator_draws_the_same_and_none_draws_nothing():
    images, generator = torch.rand(4, 3, 16, 16), Generator().manual_seed(1)
    state = generator.get_state()
    assert augmented(images, "none", generator) is images
    assert torch.equal(generator.get_state(), state)
    twice = [augmented(images, "shift-flip", Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(twice[0], twice[1])
    assert not torch.equal(twice[0], twice[2])
