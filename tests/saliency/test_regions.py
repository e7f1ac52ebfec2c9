"""Superpixels of images, and segments large enough to attack."""

import numpy as np
import pytest
import torch
from skimage import data
from skimage.segmentation import felzenszwalb, quickshift, slic
from torch.nn import functional

from saliency.regions import SHARES, colours, largest, segments, superpixels


def photograph(side, name="chelsea"):
    """Return one of scikit-image's photographs, the middle of it, (1, 3, side, side)."""
    whole = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)[None] / 255
    square = min(whole.shape[2:])
    top, left = ((length - square) // 2 for length in whole.shape[2:])
    image = whole[:, :, top : top + square, left : left + square]
    return functional.interpolate(image, size=(side, side), mode="bilinear", antialias=True).clamp(0, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_flat_quarters_are_four_segments(channels):
    quarters = torch.tensor([[0.0, 0.4], [0.7, 1.0]])
    image = quarters.repeat_interleave(16, 0).repeat_interleave(16, 1).expand(1, channels, 32, 32)
    found = segments(image)[0]
    centres = found[8::16, 8::16].flatten()
    assert len(centres.unique()) == 4
    for number, (rows, columns) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        inner = found[16 * rows + 3 : 16 * rows + 13, 16 * columns + 3 : 16 * columns + 13]
        assert (inner == centres[number]).all()


@pytest.mark.parametrize("side", [32, 112, 224])
@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
def test_photographs_have_some_regions_at_all_sizes(name, side):
    image = photograph(side, name)
    found = segments(image)[0]
    assert 3 <= len(largest(found, 100)) <= 30
    assert found.unique().tolist() == list(range(int(found.max()) + 1))
    finer = felzenszwalb(colours(image)[0], scale=1, sigma=0.8, min_size=round(0.01 * side * side))
    assert len(np.unique(finer)) > len(found.unique())


def test_the_scale_follows_the_size():
    image = torch.rand(1, 3, 30, 48, generator=torch.Generator().manual_seed(0))
    image = functional.avg_pool2d(image, 5, 1, 2)
    expected = felzenszwalb(colours(image)[0], scale=18 * (30 * 48) ** 0.25, sigma=0.8, min_size=14)
    assert np.array_equal(segments(image)[0], expected)
    assert torch.equal(segments(torch.cat([photograph(30)[:, :, :, :30]] * 2))[1], segments(photograph(30))[0])


def test_no_image_has_no_segments():
    assert segments(torch.empty(0, 3, 8, 9)).shape == (0, 8, 9)
    assert superpixels(torch.empty(0, 3, 8, 9)).shape == (0, 8, 9)


def test_the_largest_come_first_without_specks_and_background():
    labels = torch.zeros(20, 20, dtype=torch.long)  # 0: above half of the image
    labels[:5, :10], labels[5:8, :10], labels[10:15, :10], labels[19, 17:] = 1, 2, 3, 4  # 50, 30, 50 and 3 pixels
    found = largest(labels)
    assert SHARES == (0.01, 0.5)
    assert [int(labels[mask].unique()) for mask in found] == [1, 3, 2]
    assert found.sum((1, 2)).tolist() == [50, 50, 30]
    assert torch.equal(largest(labels, 1), found[:1])
    assert largest(torch.zeros(5, 5, dtype=torch.long)).shape == (0, 5, 5)


def test_shares_at_the_ends_count():
    labels = torch.zeros(10, 10, dtype=torch.long)
    labels[:5], labels[9, 9] = 1, 2
    assert largest(labels).sum((1, 2)).tolist() == [50, 49, 1]


@pytest.mark.parametrize("regions", [0, -1])
def test_no_region_is_refused(regions):
    with pytest.raises(ValueError, match=f"regions must be at least 1, got {regions}"):
        largest(torch.zeros(4, 4, dtype=torch.long), regions)


def test_superpixels_are_scikit_images_numbered_from_0():
    image = photograph(48)
    expected = slic(colours(image)[0], n_segments=64, compactness=10, start_label=0)
    found = superpixels(image)[0]
    assert (torch.bincount(found.flatten()) > 0).all()
    assert (
        len(np.unique(expected))
        == len(found.unique())
        == len({*zip(expected.flat, found.flatten().tolist(), strict=True)})
    )
    shifted = quickshift(colours(image)[0], kernel_size=4, max_dist=200, ratio=0.2, rng=0)
    assert len(superpixels(image, "quickshift")[0].unique()) == len(np.unique(shifted))


def test_an_unknown_segmenter_is_refused():
    with pytest.raises(ValueError, match="segmenter"):
        superpixels(photograph(16), "watershed")
