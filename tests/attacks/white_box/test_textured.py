"""An attack that changes no pixel in a flat area."""

import torch
from torch import nn

from attacks import HingedPGD, Textured
from attacks.white_box.textured import textured

WALK = {"epsilon": 0.3, "steps": 30}


class Changed(nn.Module):
    """A detector of changes in the left half, which is grey: it counts pixels that are off by more than a level."""

    def forward(self, images):
        """Return scores (N,), above 0 = adversarial."""
        change = (images[..., :5] - 0.5).abs()
        return (change / (change + 1 / 255)).sum((1, 2, 3)) - 3


def half_flat(images):
    """Images (N, 1, 12, 12) whose left half is grey."""
    images = images.clone()
    images[..., :6] = 0.5
    return images


def test_pixels_are_textured_whose_neighbourhood_differs_by_two_levels():
    images = torch.zeros(2, 3, 6, 6)
    images[0, 1, 2, 2] = 2 / 255
    images[1, 0, 3, 3] = 1 / 255
    expected = torch.zeros(2, 1, 6, 6, dtype=torch.bool)
    expected[0, 0, 1:4, 1:4] = True
    assert torch.equal(textured(images), expected)
    for step in (1, 2):
        levels = torch.arange(256 - step) / 255, torch.arange(step, 256) / 255
        pairs = torch.stack(levels, 1).view(-1, 1, 1, 2)
        assert textured(pairs).all() if step == 2 else not textured(pairs).any()


def test_flat_areas_stay_and_a_detector_of_the_background_falls_to_it_alone(linear, images):
    images = half_flat(images)
    labels = linear(images).argmax(1)
    found = {}
    for attack in (HingedPGD(**WALK), Textured(attack=HingedPGD(**WALK))):
        result = attack.report(linear, images, labels, detector=Changed())
        found[type(attack)] = (result.success & (result.scores <= 0)).double().mean().item()
    changed = result.images != images
    assert not changed[..., :5].any()  # column 5 lies beside the texture
    assert changed.any()
    assert found[Textured] > found[HingedPGD]


def test_a_flat_image_is_left_and_the_callers_region_counts_as_well(linear, images):
    labels = linear(images).argmax(1)
    region = torch.zeros(8, 1, 12, 12)
    region[..., 6:] = 1
    attack = Textured(attack=HingedPGD(**WALK))
    flat = torch.full_like(images, 0.5)
    assert torch.equal(attack(linear, flat, linear(flat).argmax(1), detector=Changed()), flat)
    adversarial = attack(linear, images, labels, detector=Changed(), region=region)
    assert torch.equal(adversarial[..., :6], images[..., :6])
    assert (adversarial != images).any()
