import numpy as np
import pytest
import torch
from scipy.ndimage import median_filter
from skimage.restoration import denoise_nl_means

from detectors import Classifier
from detectors.published import FeatureSqueezing
from detectors.published.feature_squeezing import Bits, Median, NonLocalMeans


@pytest.fixture
def colour():
    """Three colour images (3, 3, 9, 11): a ramp with noise."""
    generator = torch.Generator().manual_seed(1)
    return torch.rand(3, 3, 9, 11, generator=generator) * 0.1 + torch.linspace(0, 0.5, 11)


def test_one_bit_is_a_threshold_and_eight_bits_are_those_of_a_file(images):
    assert torch.equal(Bits(1)(images), (images > 0.5).float())
    of_file = (images * 255).round() / 255
    torch.testing.assert_close(Bits(8)(of_file), of_file)
    assert len(Bits(5)(torch.linspace(0, 1, 1000)[None, None, None]).unique()) == 32


@pytest.mark.parametrize("side", [1, 2, 3, 4, 30])
def test_median_is_that_of_scipy(side, colour):
    expected = median_filter(colour.numpy(), size=(1, 1, side, side), mode="reflect")
    assert np.array_equal(Median(side)(colour).numpy(), expected)


@pytest.mark.parametrize(("window", "patch"), [(7, 3), (5, 5), (25, 3)])
def test_non_local_means_are_those_of_scikit_image(window, patch, colour):
    options = {"patch_size": patch, "patch_distance": window // 2, "h": 25 / 255, "fast_mode": False}
    expected = [denoise_nl_means(image.permute(1, 2, 0).numpy(), channel_axis=-1, **options) for image in colour]
    expected = torch.from_numpy(np.stack(expected)).permute(0, 3, 1, 2).float()
    ours = NonLocalMeans(window, patch, 25)(colour)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-3)  # its exponential is an approximation
    assert (ours - colour).abs().max() > 0.02


def test_score_is_the_largest_distance_of_the_softmax(classifier, images):
    with torch.no_grad():
        expected = [
            (classifier(images).softmax(1) - classifier(torch.from_numpy(squeezed)).softmax(1)).abs().sum(1)
            for squeezed in (np.rint(images.numpy()), median_filter(images.numpy(), size=(1, 1, 2, 2), mode="reflect"))
        ]
        torch.testing.assert_close(FeatureSqueezing(classifier)(images), torch.stack(expected).amax(0))


def test_default_is_the_papers_setting_for_grey_or_colour_images(classifier):
    assert FeatureSqueezing(classifier).squeezers == ["bits_1", "median_2"]
    colour = Classifier((3, 12, 12), 4, widths=(4,))
    assert FeatureSqueezing(colour).squeezers == ["bits_5", "median_2", "non_local_13_3_2"]


def test_only_what_rounds_is_declared_straight_through(classifier, images):
    detector = FeatureSqueezing(classifier, ["bits_3", "median_3", "non_local_5_3_4"])
    assert detector.straight_through == ("parts.bits_3",)
    for name, part in detector.named_modules():
        if name.startswith("parts."):
            seen = images.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(part(seen).sum(), seen)
            assert (gradient == 0).all() == (name in detector.straight_through)


@pytest.mark.parametrize(
    ("squeezers", "message"),
    [
        ([], r"squeezers is empty: name at least one, for example \[bits_1, median_2\]"),
        (["blur_2"], "unknown squeezer 'blur_2': write it as one of bits_1, median_2, non_local_13_3_2"),
        (["median"], "unknown squeezer 'median'"),
        (["non_local_13_3"], "unknown squeezer 'non_local_13_3'"),
        (["bits_0"], "bits must be at least 1"),
        (["bits_9"], "bits must be at most 8"),
        (["median_0"], "side must be at least 1"),
        (["non_local_12_3_4"], "must be odd, got 12 and 3"),
        (["non_local_13_1_4"], "patch must be at least 3"),
    ],
)
def test_bad_squeezers_are_refused(squeezers, message, classifier):
    with pytest.raises(ValueError, match=message):
        FeatureSqueezing(classifier, squeezers)
