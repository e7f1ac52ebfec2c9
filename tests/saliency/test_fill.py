import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from saliency.fill import COLOUR_NOISE, COLOUR_RANGE, IMAGE_NOISE, compose

ALL = ("mix", "blur", "colour", "zero")
FILLS = pytest.mark.parametrize("fill", ALL)
NOISY = pytest.mark.parametrize("fill", ["mix", "blur", "colour"])


def _seed(number=0):
    return torch.Generator().manual_seed(number)


def _grey(count=6, channels=3, height=16, width=16):
    return 0.3 + 0.4 * torch.rand(count, channels, height, width, generator=_seed(9))


def _mask(value, images):
    return torch.full((len(images), 1, *images.shape[2:]), value)


@NOISY
def test_mask_of_ones_gives_the_image_with_the_stated_noise(fill):
    images = _grey(20)
    noise = compose(images, _mask(1.0, images), fill, _seed()) - images
    assert noise.std().item() == pytest.approx(IMAGE_NOISE, rel=0.05)
    assert abs(noise.mean().item()) < 0.001


def test_mask_of_zeros_gives_a_colour_that_knows_nothing_of_the_image():
    images = _grey()
    of_images, of_others = (
        compose(given, _mask(0.0, images), "colour", _seed()) for given in (images, torch.ones_like(images))
    )
    assert torch.equal(of_images, of_others)


def test_colour_is_one_random_value_per_image_and_channel_with_noise():
    images = _grey(40, height=24, width=24)
    colour = compose(images, _mask(0.0, images), "colour", _seed())
    means = colour.mean((2, 3))
    assert (means - 0.5).abs().max() < COLOUR_RANGE + 0.01
    assert means.std().item() == pytest.approx(COLOUR_RANGE / 3**0.5, rel=0.2)
    assert (colour - means[:, :, None, None]).std().item() == pytest.approx(COLOUR_NOISE, rel=0.05)


@pytest.mark.parametrize("size", [(16, 16), (12, 20), (7, 7)])
@pytest.mark.parametrize("blur_sigma", [0.05, 0.25])
def test_blur_is_the_gaussian_blur_of_the_image(size, blur_sigma):
    images = _grey(2, 3, *size)
    sigma = blur_sigma * min(size)
    reach = min(int(3 * sigma + 0.5), min(size) - 1)
    expected = gaussian_filter(images.numpy(), sigma, axes=(2, 3), radius=reach, mode="mirror")
    filled = compose(images, _mask(0.0, images), "blur", _seed(), blur_sigma)
    assert np.allclose(filled, expected, atol=1e-5)


def test_mix_blurs_half_of_the_images_and_colours_the_others():
    images = _grey(200, channels=1)
    filled = compose(images, _mask(0.0, images), "mix", _seed())
    blurred = compose(images, _mask(0.0, images), "blur", _seed())
    is_blurred = torch.isclose(filled, blurred, atol=1e-6).flatten(1).all(1)
    means = filled[~is_blurred].mean((1, 2, 3))
    assert 70 < is_blurred.sum() < 130
    assert means.std().item() == pytest.approx(COLOUR_RANGE / 3**0.5, rel=0.25)


def test_zero_is_exactly_the_image_times_the_mask():
    images = _grey()
    masks = torch.rand(6, 1, 16, 16)
    assert torch.equal(compose(images, masks, "zero", _seed()), images * masks)


@given(
    fill=st.sampled_from(ALL),
    seed=st.integers(0, 1000),
    size=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(2, 9), st.integers(2, 9)),
)
def test_result_is_always_within_0_and_1(fill, seed, size):
    images = torch.rand(size, generator=_seed(seed)).round()
    masks = torch.rand(size[0], 1, *size[2:], generator=_seed(seed + 1))
    result = compose(images, masks, fill, _seed(seed))
    assert result.shape == images.shape
    assert result.min() >= 0
    assert result.max() <= 1


@FILLS
def test_draws_come_from_the_generator_alone(fill):
    images = _grey()
    masks = torch.rand(6, 1, 16, 16)
    before = torch.get_rng_state()
    results = [compose(images, masks, fill, _seed()) for _ in range(2)]
    assert torch.equal(*results)
    assert torch.equal(torch.get_rng_state(), before)


@NOISY
def test_the_kept_and_the_destroyed_image_get_draws_of_their_own(fill):
    images = _grey()
    masks = _mask(0.5, images)
    generator = _seed()
    assert not torch.equal(compose(images, masks, fill, generator), compose(images, masks, fill, generator))


@FILLS
def test_inputs_are_left_unchanged(fill):
    images = _grey()
    masks = torch.rand(6, 1, 16, 16)
    before = images.clone(), masks.clone()
    compose(images, masks, fill, _seed())
    assert torch.equal(images, before[0])
    assert torch.equal(masks, before[1])


@FILLS
def test_gradients_with_respect_to_masks_pass_gradcheck(fill):
    images = _grey(2, 2, 4, 4).double()
    masks = (0.2 + 0.6 * torch.rand(2, 1, 4, 4, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda given: compose(images, given, fill, _seed()), masks)


@FILLS
def test_gradients_with_respect_to_images_reach_every_kept_pixel(fill):
    images = _grey().requires_grad_()
    (gradient,) = torch.autograd.grad(compose(images, _mask(0.7, images), fill, _seed()).sum(), images)
    assert (gradient > 0.5).all()
