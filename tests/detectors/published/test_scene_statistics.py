import numpy as np
import pytest
import torch
from scipy import optimize, special, stats
from scipy.ndimage import gaussian_filter
from skimage.color import rgb2gray

from detectors.published.scene_statistics import asymmetric_gaussian, gaussian, luminance, normalised, statistics


def test_coefficients_are_those_of_scipys_filter(images):
    grey = images[:, 0].double().numpy()
    mean, squares = (gaussian_filter(each, 7 / 6, axes=(1, 2), radius=3, mode="nearest") for each in (grey, grey**2))
    expected = (grey - mean) / (np.sqrt(squares - mean**2) + 1 / 255)
    np.testing.assert_allclose(normalised(images[:, 0]).numpy(), expected, atol=1e-4)


def test_luminance_is_that_of_scikit_image():
    colour = torch.rand(4, 3, 6, 5)
    expected = rgb2gray(colour.permute(0, 2, 3, 1).numpy())
    np.testing.assert_allclose(luminance(colour).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0, 4.0])
def test_gaussian_gets_back_the_shape_and_variance_of_scipys_distribution(shape):
    places = (np.arange(100000) + 0.5) / 100000
    values = torch.from_numpy(stats.gennorm.ppf(places, shape, scale=0.3))
    expected = [shape, stats.gennorm.var(shape, scale=0.3)]
    np.testing.assert_allclose(gaussian(values[None])[0].numpy(), expected, rtol=0.02)


def solved(values):
    """Shape, mean, left and right variance by a root finder, from the formulas of Lasmar et al. (2009)."""
    left, right = (values[side].var() + values[side].mean() ** 2 for side in (values < 0, values > 0))
    ratio = np.sqrt(left / right)
    moments = np.abs(values).mean() ** 2 / np.mean(values**2)
    wanted = moments * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    gamma = special.gamma
    shape = optimize.brentq(lambda a: gamma(2 / a) ** 2 / (gamma(1 / a) * gamma(3 / a)) - wanted, 0.2, 10)
    mean = (np.sqrt(right) - np.sqrt(left)) * gamma(2 / shape) / np.sqrt(gamma(1 / shape) * gamma(3 / shape))
    return [shape, mean, left, right]


def test_asymmetric_gaussian_solves_the_equations_of_the_moments():
    generator = np.random.default_rng(0)
    rows = np.stack([generator.laplace(size=4000), generator.normal(size=4000)])
    rows = np.where(rows > 0, rows * 0.4, rows)
    expected = [solved(row) for row in rows]
    np.testing.assert_allclose(asymmetric_gaussian(torch.from_numpy(rows)).numpy(), expected, rtol=1e-3)


def test_products_are_those_of_neighbours_in_four_directions():
    image = torch.rand(1, 1, 10, 8, dtype=torch.float64)
    values = normalised(image[:, 0])[0].numpy()
    neighbours = [values[:, 1:] * values[:, :-1], values[1:] * values[:-1]]
    neighbours += [values[1:, 1:] * values[:-1, :-1], values[:-1, 1:] * values[1:, :-1]]
    expected = np.concatenate([solved(each.ravel()) for each in neighbours])
    np.testing.assert_allclose(statistics(image)[0, 2:].numpy(), expected, rtol=2e-3)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_flat_images_have_finite_statistics_and_gradients(value):
    flat = torch.full((1, 1, 12, 12), value, requires_grad=True)
    found = statistics(flat)
    assert found.isfinite().all()
    found.sum().backward()
    assert flat.grad.isfinite().all()
