"""Corruptions: what each does to an image, against closed forms and scikit-image."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import hsv2rgb, rgb2hsv
from skimage.filters import gaussian
from skimage.transform import rotate

from data.corruptions import CORRUPTIONS, SEVERITIES, corrupt

COLOUR, GREY = (3, 32, 32), (1, 28, 28)


@pytest.fixture
def smooth():
    """Four colour images without sharp edges, and away from 0 and 1."""
    coarse = torch.rand(4, 3, 5, 5) * 0.6 + 0.2
    return torch.nn.functional.interpolate(coarse, (32, 32), mode="bicubic", align_corners=True).clamp(0.1, 0.9)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", [COLOUR, GREY, (1, 12, 9)])
def test_images_stay_images_and_each_is_changed_by_itself(name, shape):
    images = torch.rand(4, *shape)
    before = images.clone()
    for severity in SEVERITIES:
        changed = corrupt(name, severity, images)
        assert changed.shape == images.shape
        assert changed.dtype == images.dtype
        assert changed.min() >= 0
        assert changed.max() <= 1
        torch.testing.assert_close(corrupt(name, severity, images[2:3]), changed[2:3])
    assert torch.equal(images, before)
    assert not torch.equal(changed, images)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_higher_severity_changes_more(name, smooth):
    sizes = [(corrupt(name, severity, smooth) - smooth).square().mean().item() for severity in SEVERITIES]
    assert sizes[-1] > sizes[0]
    if name not in ("pixelate", "resize", "jpeg"):  # whether a grid fits decides more than how fine it is
        assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("name", "deviation"),
    [
        ("gaussian_noise", lambda strength, _: strength),
        ("speckle_noise", lambda strength, value: strength * value),
        ("shot_noise", lambda strength, value: (value / strength) ** 0.5),
    ],
)
def test_noise_has_its_mean_and_deviation(name, deviation):
    value = 0.5
    for severity in (1, 5):
        noise = corrupt(name, severity, torch.full((1, 3, 200, 200), value)) - value
        expected = deviation(CORRUPTIONS[name].strengths[severity - 1], value)
        assert noise.mean().abs() < 0.01 * expected + 1e-3
        assert noise.std().item() == pytest.approx(expected, rel=0.02)


def test_impulses_are_black_and_white_in_equal_number():
    noisy = corrupt("impulse_noise", 5, torch.full((1, 1, 300, 300), 0.5))
    assert (noisy == 0).float().mean().item() == pytest.approx(0.035, abs=0.003)
    assert (noisy == 1).float().mean().item() == pytest.approx(0.035, abs=0.003)
    assert ((noisy == 0.5) | (noisy == 0) | (noisy == 1)).all()


def test_blur_is_that_of_scikit_image(smooth):
    for severity in SEVERITIES:
        expected = np.stack(
            [
                gaussian(image, CORRUPTIONS["gaussian_blur"].strengths[severity - 1], mode="mirror", channel_axis=0)
                for image in smooth.numpy()
            ]
        )
        np.testing.assert_allclose(corrupt("gaussian_blur", severity, smooth), expected, atol=1e-3)


@pytest.mark.parametrize("name", ["brightness", "darkness"])
def test_brightness_shifts_the_value_of_hsv_as_scikit_image_does(name, smooth):
    for severity in SEVERITIES:
        hsv = rgb2hsv(smooth.double().numpy(), channel_axis=1)
        hsv[:, 2] = np.clip(hsv[:, 2] + CORRUPTIONS[name].strengths[severity - 1], 0, 1)
        expected = hsv2rgb(hsv, channel_axis=1)
        np.testing.assert_allclose(corrupt(name, severity, smooth), expected, atol=1e-5)


def test_black_is_made_grey_by_brightness():
    assert torch.equal(corrupt("brightness", 3, torch.zeros(1, *COLOUR)), torch.full((1, *COLOUR), 0.15))


def test_contrast_keeps_the_mean_of_each_channel(smooth):
    flat = corrupt("contrast", 2, smooth)
    torch.testing.assert_close(flat.mean((2, 3)), smooth.mean((2, 3)))
    torch.testing.assert_close(flat.std((2, 3)), 0.5 * smooth.std((2, 3)))


def test_jpeg_is_that_of_pillow(smooth):
    for severity, quality in zip(SEVERITIES, (80, 65, 58, 50, 40), strict=True):
        pixels = (smooth[0] * 255).round().byte().permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality)
        decoded = np.asarray(Image.open(file)).transpose(2, 0, 1) / 255
        assert np.abs(corrupt("jpeg", severity, smooth[:1])[0].numpy() - decoded).mean() < 0.01


def test_rotation_is_that_of_scikit_image_away_from_the_border(smooth):
    (turned,) = corrupt("rotate", 5, smooth[:1]).numpy()
    angles = [
        np.abs(rotate(smooth[0, 0].numpy(), sign * 10, order=1) - turned[0])[8:-8, 8:-8].max() for sign in (1, -1)
    ]
    assert min(angles) < 1e-2


def test_translation_moves_whole_pixels_and_repeats_the_border():
    image = torch.rand(1, 1, 50, 50)
    moved = corrupt("translate", 2, image)  # .04 of 50 pixels
    torch.testing.assert_close(moved[:, :, 2:, 2:], image[:, :, :-2, :-2], atol=1e-4, rtol=0)
    torch.testing.assert_close(moved[:, :, 2:, :2], image[:, :, :-2, :1].expand(-1, -1, -1, 2), atol=1e-4, rtol=0)


def test_constant_images_stay_under_changes_of_place_and_resolution():
    constant = torch.full((1, *COLOUR), 0.4)
    for name in ("pixelate", "resize", "rotate", "translate", "gaussian_blur", "contrast"):
        torch.testing.assert_close(corrupt(name, 5, constant), constant)


def test_what_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="fog"):
        corrupt("fog", 1, torch.rand(1, *GREY))
    with pytest.raises(ValueError, match="severity must be at most 5, got 6"):
        corrupt("jpeg", 6, torch.rand(1, *GREY))
