"""Variants of attacked images."""

import pytest
import torch
from hypothesis import given, strategies

from attacks import norms
from experiments.study.images import noise_ratios, norm_matched_noise, rounded


def test_rounded_images_are_those_of_a_file():
    images = torch.tensor([0.0, 0.001, 0.499, 1.0]).view(1, 1, 2, 2)
    assert torch.equal((rounded(images) * 255).view(-1), torch.tensor([0.0, 0.0, 127.0, 255.0]))


def test_noise_has_the_norms_of_its_own_image_s_perturbation():
    clean = torch.full((5, 3, 8, 8), 0.5)
    adversarial = clean + torch.randn(clean.shape) * torch.tensor([0.01, 0.02, 0.05, 0.1, 0.0]).view(5, 1, 1, 1)
    adversarial = adversarial.clamp(0, 1)
    noise = norm_matched_noise(clean, adversarial) - clean
    change = adversarial - clean
    for norm in (norms.l0, norms.l2, norms.linf):
        torch.testing.assert_close(norm(noise), norm(change), rtol=1e-3, atol=1e-6)
    assert not torch.allclose(noise[0], change[0])
    assert abs((noise[3].sign() * change[3].sign()).mean().item()) < 0.3
    assert torch.equal(noise[4], torch.zeros(3, 8, 8))


def test_noise_of_an_image_does_not_depend_on_the_others_and_stays_in_the_box():
    clean, adversarial = torch.rand(6, 1, 8, 8), torch.rand(6, 1, 8, 8)
    noisy = norm_matched_noise(clean, adversarial)
    assert noisy.min() >= 0
    assert noisy.max() <= 1
    assert torch.equal(norm_matched_noise(clean[:2], adversarial[:2]), noisy[:2])
    assert torch.equal(norm_matched_noise(clean, adversarial), noisy)


VALUES = strategies.sampled_from([0.0, 0.02, 0.3, 0.5, 0.71, 1.0])


@given(values=strategies.lists(strategies.tuples(VALUES, VALUES), min_size=1, max_size=12))
def test_noise_has_all_norms_also_where_images_touch_the_box(values):
    clean, adversarial = torch.tensor(values, dtype=torch.float64).T.reshape(2, 1, 1, 1, -1)
    noise = norm_matched_noise(clean, adversarial) - clean
    sizes, drawn = ((adversarial - clean).abs().flatten(), noise.abs().flatten())
    torch.testing.assert_close(drawn.sort().values, sizes.sort().values, rtol=0, atol=1e-12)


def test_every_place_that_is_large_enough_is_drawn():
    clean = torch.tensor([0.1, 0.2, 0.4, 0.5]).expand(300, 1, 1, 4)
    adversarial = clean + torch.tensor([0.75, 0.0, 0.0, 0.0])
    places = (norm_matched_noise(clean, adversarial) - clean).abs().flatten(1).argmax(1)
    counts = torch.bincount(places, minlength=4)
    assert counts[2:].tolist() == [0, 0]  # 0.75 has no room there
    assert (counts[:2] > 110).all()


def test_no_images_make_no_noise():
    assert norm_matched_noise(torch.empty(0, 1, 4, 4), torch.empty(0, 1, 4, 4)).shape == (0, 1, 4, 4)


def test_the_smallest_ratio_of_each_norm_is_told():
    clean = torch.zeros(3, 1, 1, 4)
    adversarial, noisy = clean.clone(), clean.clone()
    adversarial[0, ..., :2], noisy[0, ..., :1] = 0.3, 0.3  # one value of two, so an L2 of 1 / sqrt(2)
    adversarial[1, ..., 0], noisy[1, ..., 1] = 0.4, 0.4
    ratios = noise_ratios(clean, adversarial, noisy)
    assert ratios == {"l0": 0.5, "l2": pytest.approx(0.5**0.5), "linf": pytest.approx(1.0)}


def test_changes_that_rounding_swallows_do_not_count():
    clean = torch.zeros(1, 1, 1, 4)
    adversarial = clean + torch.tensor([0.5, 1e-9, 1e-9, 0.0])
    assert noise_ratios(clean, adversarial, clean + torch.tensor([0.0, 0.0, 0.0, 0.5]))["l0"] == 1.0
    assert set(noise_ratios(clean, clean, clean).values()) == {None}


def test_noise_of_some_rows_is_that_of_all():
    clean, adversarial = torch.rand(6, 1, 8, 8), torch.rand(6, 1, 8, 8)
    some = norm_matched_noise(clean[3:5], adversarial[3:5], [3, 4])
    assert torch.equal(some, norm_matched_noise(clean, adversarial)[3:5])
