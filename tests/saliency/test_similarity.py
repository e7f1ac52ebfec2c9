"""Similarities of maps: SciPy, scikit-image and hand-computed cases."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from skimage import feature
from skimage.metrics import structural_similarity

from saliency.similarity import constant, hog, pearson, ranks, spearman, ssim, windowed

MEASURES = {
    "spearman": spearman,
    "ssim": ssim,
    "ssim, range 2": lambda one, two: ssim(one, two, 2.0),
    "hog, picture": lambda one, two: pearson(hog(one), hog(two)),
    "hog, features": lambda one, two: pearson(hog(one, "features"), hog(two, "features")),
}


def pair(side=32, seed=0, count=5):
    generator = torch.Generator().manual_seed(seed)
    first = torch.randn(count, 1, side, side, generator=generator)
    return first, 0.6 * first + torch.randn(count, 1, side, side, generator=generator)


def test_spearman_is_scipys_also_with_ties():
    first, second = (maps.mul(2).round() for maps in pair())
    expected = [spearmanr(one.flatten(), two.flatten()).statistic for one, two in zip(first, second, strict=True)]
    assert spearman(first, second).tolist() == pytest.approx(expected, abs=1e-12)
    assert ranks(torch.tensor([[[[5.0, 1.0], [5.0, 9.0]]]])).tolist() == [[2.5, 1, 2.5, 4]]


@pytest.mark.parametrize(("blurred", "apart"), [(1, 0.05), (5, 0.015)])
def test_ssim_is_scikit_images_but_for_the_window(blurred, apart):
    maps = [torch.nn.functional.avg_pool2d(each, blurred, 1) for each in pair(64)]
    found = ssim(*maps)
    expected = []
    for one, two in zip(*(each.double().numpy()[:, 0] for each in maps), strict=True):
        wide = max(one.max(), two.max()) - min(one.min(), two.min())
        same_window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        expected.append([structural_similarity(one, two, data_range=wide, **how) for how in ({}, same_window)])
    uniform, gaussian = np.array(expected).T
    assert found.tolist() == pytest.approx(uniform.tolist(), abs=0.06)
    assert found.mean().item() == pytest.approx(uniform.mean(), abs=apart)
    assert found.tolist() == pytest.approx(gaussian.tolist(), abs=0.03)  # which leaves out the border


def test_the_data_range_decides():
    first, second = (0.01 * maps for maps in pair())
    assert (ssim(first, second, 2.0) > 0.95).all()
    assert (ssim(first, second) < 0.8).all()
    assert torch.allclose(ssim(first, second), ssim(100 * first, 100 * second), atol=1e-4)
    wide = (torch.cat([first, second], 1).amax((1, 2, 3)) - torch.cat([first, second], 1).amin((1, 2, 3))).tolist()
    one_by_one = [windowed(first[n : n + 1], second[n : n + 1], wide[n]).item() for n in range(len(first))]
    assert ssim(first, second).tolist() == pytest.approx(one_by_one, abs=1e-5)


@pytest.mark.parametrize(
    ("shape", "cell"), [((32, 32), 4), ((8, 8), 4), ((33, 47), 4), ((112, 130), 8), ((224, 224), 16)]
)
def test_histograms_of_gradients_are_scikit_images(shape, cell):
    maps = torch.randn(2, 1, *shape, generator=torch.Generator().manual_seed(1)).double()
    features, pictures = hog(maps, "features"), hog(maps)
    for number, one in enumerate(maps[:, 0]):
        scaled = (one / one.abs().max()).numpy()
        expected, picture = feature.hog(scaled, 9, (cell, cell), (1, 1), visualize=True, feature_vector=False)
        assert features[number].permute(1, 2, 0).numpy() == pytest.approx(expected[:, :, 0, 0], abs=1e-6)
        inside = tuple(slice(side // cell * cell) for side in shape)
        assert pictures[number, 0].numpy() == pytest.approx(picture[inside], abs=1e-6)


def test_a_ramp_has_one_direction():
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    histograms = hog(ramp, "features")
    assert histograms[0, 0].numpy() == pytest.approx(np.ones((2, 2)), abs=1e-6)
    assert histograms[0, 1:].abs().max() == 0
    turned = hog(ramp.transpose(2, 3), "features")
    assert turned[0, 4].min() > 0.999  # 90 degrees lie in the fifth of nine bins
    picture = hog(ramp)
    # a cell of 4: the middle of the ramp changes by 2 / 7 a pixel, the outermost columns by nothing: a mean of 6 / 28
    assert picture.max().item() == pytest.approx(6 / 28)
    assert (picture[0, 0] > 0).sum().item() == 4 * 2  # a line of two pixels in each of the four cells


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.floats(1e-6, 1e6), side=st.sampled_from([8, 13, 32]))
def test_similarities_are_symmetric_bounded_and_do_not_know_the_scale(seed, scale, side):
    first, second = pair(side, seed, 2)
    for name, measure in MEASURES.items():
        found = measure(first, second)
        assert found.dtype == torch.float64
        assert found.abs().max() <= 1 + 1e-9
        assert torch.allclose(found, measure(second, first), atol=1e-6)
        assert torch.allclose(measure(first, first), torch.ones(2, dtype=torch.float64), atol=1e-9)
        if name != "ssim, range 2":
            assert torch.allclose(found, measure(scale * first, scale * second), atol=1e-3)


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_what_is_not_defined_is_nan_and_leaves_the_others_alone(measure):
    first, second = pair()
    expected = measure(first, second)
    holed = first.clone()
    holed[1], holed[3] = 0, 0.7
    for found in (measure(holed, second), measure(second, holed)):
        assert found.isnan().tolist() == [False, True, False, True, False]
        assert torch.allclose(found[::2], expected[::2], atol=1e-6)
    assert measure(first[:0], second[:0]).shape == (0,)
    assert constant(holed).tolist() == [False, True, False, True, False]


def test_opposite_maps():
    first, _ = pair()
    assert spearman(first, -first).tolist() == pytest.approx([-1] * 5)
    assert spearman(first, first.exp()).tolist() == pytest.approx([1] * 5)
    assert pearson(hog(first), hog(-first)).tolist() == pytest.approx([1] * 5)  # an edge has no side


def test_what_cannot_be_compared_is_refused():
    first, second = pair()
    for measure in (spearman, ssim):
        with pytest.raises(ValueError, match=r"in pairs of one shape, got \(5, .*\) and \(4, "):
            measure(first, second[:4]) if measure is ssim else pearson(first, second[:4])
    for wrong in (0, -1.0, "auto"):
        with pytest.raises(ValueError, match="data_range must be pair or a number above 0"):
            ssim(first, second, wrong)
    with pytest.raises(ValueError, match="at least 6 pixels a side, got 5 x 32"):
        ssim(first[:, :, :5], second[:, :, :5])
    with pytest.raises(ValueError, match="at least 4 pixels a side"):
        hog(first[:, :, :3])
