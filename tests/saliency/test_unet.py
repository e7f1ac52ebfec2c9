import math

import pytest
import torch
from torch import nn

from saliency.unet import ClassSelector, EncoderNetwork, MaskDecoder
from tests.saliency.helpers import awake

SIZES = pytest.mark.parametrize("size", [(12, 12), (28, 28), (32, 32), (7, 7), (9, 14), (1, 1)])


def _network(channels=1, width=4):
    encoder = EncoderNetwork(channels, 5, width).eval()
    return encoder, ClassSelector(5, 8 * width).eval(), MaskDecoder(width).eval()


def _masks(network, images, classes):
    encoder, selector, decoder = network
    *skips, deepest = encoder.scales(images)
    return decoder([*skips, selector(deepest, classes)[0]])


@SIZES
@pytest.mark.parametrize("channels", [1, 3])
def test_masks_have_the_size_of_the_image_and_lie_within_0_and_1(size, channels):
    masks = _masks(_network(channels), torch.rand(3, channels, *size), torch.tensor([0, 4, 2]))
    assert masks.shape == (3, 1, *size)
    assert masks.min() >= 0
    assert masks.max() <= 1


@SIZES
def test_scales_halve_the_size_and_double_the_channels(size):
    encoder, *_ = _network(width=3)
    expected = [(2, 3 * 2**i, *(math.ceil(length / 2**i) for length in size)) for i in range(4)]
    assert [tuple(scale.shape) for scale in encoder.scales(torch.rand(2, 1, *size))] == expected


def test_encoder_sees_images_between_minus_1_and_1():
    encoder, *_ = _network()
    seen = []
    encoder.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    encoder.scales(torch.tensor([0.0, 0.25, 1.0, 0.5]).view(1, 1, 2, 2))
    assert seen[0].flatten().tolist() == [-1, -0.5, 1, 0]


def test_encoder_classifies_the_mean_of_its_deepest_scale():
    encoder, *_ = _network()
    images = torch.rand(3, 1, 12, 12)
    expected = encoder.linear(encoder.scales(images)[-1].mean((2, 3)))
    assert torch.equal(encoder(images), expected)


def test_selector_gates_by_the_match_with_the_class_embedding():
    selector = ClassSelector(2, 2)
    selector.embedding.weight.data = torch.tensor([[9.0, 9.0], [1.0, -2.0]])
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, 1.0]]]])  # two channels of 1x2; matches with class 1: -5 and 0
    gated, exists = selector(features, torch.tensor([1]))
    gate = torch.tensor([1 / (1 + math.exp(5)), 0.5])
    assert torch.allclose(gated, features * gate)
    assert exists.item() == pytest.approx(-2.5)


def test_embedding_has_a_standard_deviation_of_one_over_root_channels():
    weights = ClassSelector(300, 64).embedding.weight
    assert weights.std().item() == pytest.approx(1 / 8, rel=0.03)
    assert abs(weights.mean().item()) < 0.01


def test_mask_is_the_share_of_the_first_channel_of_the_head():
    decoder = MaskDecoder(4).eval()
    decoder.head.weight.data.zero_()
    decoder.head.bias.data = torch.tensor([-1.0, 3.0])
    scales = [torch.rand(1, 4 * 2**i, 8 // 2**i, 8 // 2**i) for i in range(4)]
    assert torch.allclose(decoder(scales), torch.tensor(0.25))


def test_mask_and_gradients_are_finite_where_both_channels_of_the_head_are_0():
    network = _network()
    decoder = network[2]
    decoder.head.weight.data.zero_()
    decoder.head.bias.data.zero_()
    images = torch.rand(2, 1, 12, 12, requires_grad=True)
    masks = _masks(network, images, torch.tensor([0, 1]))
    gradients = torch.autograd.grad(masks.sum(), [images, *decoder.parameters()])
    assert torch.equal(masks, torch.zeros_like(masks))
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_decoder_uses_every_scale():
    encoder, _, decoder = _network()
    scales = [scale.detach().requires_grad_() for scale in encoder.scales(torch.rand(2, 1, 16, 16))]
    gradients = torch.autograd.grad(decoder(scales).sum(), scales)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_masks_differ_between_classes_and_images_do_not_mix_in_a_batch():
    network = _network()
    images = torch.rand(4, 1, 12, 12)
    classes = torch.tensor([0, 1, 2, 3])
    awake(nn.ModuleList(network), lambda: _masks(network, images, classes))
    masks = _masks(network, images, classes)
    alone = torch.cat([_masks(network, images[i : i + 1], classes[i : i + 1]) for i in range(4)])
    assert torch.allclose(masks, alone, atol=1e-4)
    assert (masks - _masks(network, images, classes.flip(0))).abs().max() > 0.01
