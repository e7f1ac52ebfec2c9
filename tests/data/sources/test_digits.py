"""scikit-learn's digits, resized."""

import numpy as np
import pytest
import torch
from skimage.transform import resize
from sklearn.datasets import load_digits
from torch.nn import functional

from data import Digits

SPLITS = [
    "classifier_train",
    "classifier_train_validation",
    "detector_train",
    "detector_train_validation",
    "calibration",
    "test",
]


@pytest.fixture(scope="module")
def whole():
    """All digits in the order of their positions."""
    data = Digits()
    parts = [data.split(name) for name in SPLITS]
    batches = [part.__getitems__(list(range(len(part)))) for part in parts]
    order = torch.cat([batch.positions for batch in batches]).argsort()
    images, labels, positions = (torch.cat(field)[order] for field in zip(*batches, strict=True))
    return images, labels, positions


@pytest.fixture(scope="module")
def original():
    images, labels = load_digits(return_X_y=True)
    return images.reshape(-1, 8, 8) / 16, labels


def test_all_1797_images_are_there_once(whole):
    _, _, positions = whole
    assert positions.tolist() == list(range(1797))


def test_sizes_of_the_splits_are_fixed():
    data = Digits()
    assert [len(data.split(name)) for name in SPLITS] == [582, 65, 518, 57, 216, 359]


def test_shape_range_and_type_are_those_of_mnist(whole):
    images, labels, _ = whole
    assert images.shape == (1797, 1, 28, 28)
    assert (Digits.shape, Digits.classes) == ((1, 28, 28), 10)
    assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)
    assert images.min() == 0
    assert images.max() == 1
    torch.testing.assert_close(images * 255, (images * 255).round(), rtol=0, atol=1e-4)  # whole bytes


def test_labels_are_scikit_learns(whole, original):
    assert whole[1].tolist() == original[1].tolist()
    assert set(whole[1].tolist()) == set(range(10))


def test_resizing_is_bilinear(whole, original):
    for row in (0, 400, 1796):
        expected = resize(original[0][row], (28, 28), order=1, mode="edge", anti_aliasing=False)
        np.testing.assert_allclose(whole[0][row, 0].numpy(), expected, atol=0.5 / 255 + 1e-6)


def test_shrinking_gives_back_the_8x8_digits(whole, original):
    small = functional.interpolate(whole[0], (8, 8), mode="bilinear")[:, 0].numpy()
    assert np.abs(small - original[0]).max() < 0.2  # a stroke's peak lies between two of the large pixels
    assert np.abs(small - original[0]).mean() < 0.04
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(small, original[0], strict=True)]
    assert min(correlations) > 0.98


def test_mean_image_is_the_mean_8x8_digit(whole, original):
    small = functional.interpolate(whole[0].mean(0, keepdim=True), (8, 8), mode="bilinear")[0, 0].numpy()
    mean = original[0].mean(0)
    assert np.corrcoef(small.ravel(), mean.ravel())[0, 1] > 0.99
    assert np.corrcoef(small.T.ravel(), mean.ravel())[0, 1] < 0.5  # not lying on its side


def test_limits_hold():
    data = Digits(train_limit=100, test_limit=20)
    assert sum(len(data.split(name)) for name in SPLITS) == 120
    assert len(data.split("test")) == 20
