import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from saliency.model import central_disc


def _distances(height, width):
    rows = torch.arange(height)[:, None] - (height - 1) / 2
    columns = torch.arange(width)[None, :] - (width - 1) / 2
    return rows**2 + columns**2


@given(st.integers(1, 13), st.integers(1, 13), st.integers(0, 10_000))
def test_disc_has_the_area_of_the_mask_and_takes_the_pixels_nearest_to_the_centre(height, width, seed):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(3, 1, height, width, generator=generator) ** 2
    disc = central_disc(masks)
    assert disc.shape == masks.shape
    assert set(disc.unique().tolist()) <= {0, 1}
    assert torch.equal(disc.sum((1, 2, 3)), masks.sum((1, 2, 3)).round())
    distances = _distances(height, width)
    for one in disc[:, 0].bool():
        if one.any() and not one.all():
            assert distances[one].max() <= distances[~one].min()


@given(st.integers(2, 12), st.integers(2, 12), st.floats(0, 40))
def test_disc_of_whole_rings_is_symmetric(height, width, radius):
    rings = (_distances(height, width) <= radius).float()[None, None]
    disc = central_disc(rings)
    assert torch.equal(disc, rings)
    assert torch.equal(disc, disc.flip(2))
    assert torch.equal(disc, disc.flip(3))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_empty_and_full_masks_keep_their_area(value):
    masks = torch.full((2, 1, 6, 5), value)
    assert torch.equal(central_disc(masks), masks)


def test_disc_does_not_depend_on_where_the_mask_lies():
    masks = torch.rand(1, 1, 8, 8)
    assert torch.equal(central_disc(masks), central_disc(masks.flip(2)))
