import copy

import pytest
import torch
from torch import nn

from detectors import Classifier, ConvNet, ResidualNet, load
from detectors.networks import Normalize
from saliency.checkpoints import save


def _count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("outputs", "count"), [(10, 353_962), (2, 352_930)])
def test_network_for_cifar10_has_the_authors_number_of_parameters(outputs, count):
    assert _count(ConvNet((3, 32, 32), outputs, (32, 64, 128))) == count


def test_classifier_for_cifar10_has_the_authors_number_of_parameters():
    assert _count(Classifier((3, 32, 32), 10, widths=(32, 64, 128))) == 353_962


def test_sizes_between_the_layers_are_the_authors():
    network = ConvNet((3, 32, 32), 10, (32, 64, 128))
    sizes = []
    for layer in network.layers:
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            layer.register_forward_hook(lambda _, __, output: sizes.append(output.shape[2]))
    network(torch.rand(1, 3, 32, 32))
    assert sizes == [32, 30, 15, 15, 13, 6, 6, 4, 2]


@pytest.mark.parametrize(
    ("shape", "widths"),
    [
        ((1, 8, 8), (4,)),
        ((1, 28, 28), (8, 9)),
        ((3, 10, 14), (2, 3)),
        ((1, 4, 5), (2,)),
        ((2, 60, 46), (1, 1, 1, 1)),
    ],
)
def test_outputs_are_one_row_per_image(shape, widths):
    assert ConvNet(shape, 5, widths)(torch.rand(3, *shape)).shape == (3, 5)


@pytest.mark.parametrize(
    ("shape", "widths"), [((1, 3, 3), (4,)), ((1, 8, 8), (4, 4, 4)), ((3, 32, 9), (2, 2, 2)), ((1, 1, 1), (2,))]
)
def test_images_too_small_for_so_many_blocks_are_refused_with_a_sentence(shape, widths):
    with pytest.raises(ValueError, match=f"are too small for the {len(widths)} blocks of widths="):
        ConvNet(shape, 5, widths)


def test_normalize_subtracts_the_mean_and_divides_by_the_deviation_of_each_channel():
    images = torch.tensor([[[[0.5]], [[0.25]], [[1.0]]]])
    normalised = Normalize([0.5, 0.0, 0.2], [0.1, 0.5, 0.4])(images)
    assert torch.allclose(normalised.flatten(), torch.tensor([0.0, 0.5, 2.0]))


@pytest.mark.parametrize(("shape", "widths"), [((1, 28, 28), (-1,)), ((0, 28, 28), (4,)), ((1, -1, 28), (4,))])
def test_sizes_below_one_are_refused(shape, widths):
    with pytest.raises(ValueError, match=r"(shape|widths)\[\d\] must be at least 1, got"):
        ConvNet(shape, 2, widths)


def test_normalize_takes_one_number_for_all_channels():
    images = torch.rand(2, 3, 4, 4)
    assert torch.allclose(Normalize((0.5,), (0.25,))(images), (images - 0.5) / 0.25)


def test_normalisation_is_the_first_layer_and_is_not_trained():
    images = torch.rand(2, 1, 8, 8)
    network = ConvNet((1, 8, 8), 2, (4,), mean=(0.3,), std=(0.2,))
    plain = ConvNet((1, 8, 8), 2, (4,))
    plain.layers[1:].load_state_dict(network.layers[1:].state_dict())
    assert torch.allclose(network(images), plain((images - 0.3) / 0.2), atol=1e-5)
    assert _count(network) == _count(plain)


def test_initialisation_is_the_authors():
    torch.manual_seed(0)
    network = ConvNet((3, 32, 32), 10, (32, 64, 128))
    for layer in network.layers:
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.std().item() == pytest.approx(layer.weight[0].numel() ** -0.5, rel=0.07)
        elif isinstance(layer, nn.Linear):
            bound = (6 / sum(layer.weight.shape)) ** 0.5
            assert 0.95 * bound < layer.weight.abs().max() <= bound
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert not layer.bias.any()


def test_hidden_dense_layer_has_128_values_and_no_activation():
    *_, hidden, last = ConvNet((1, 8, 8), 3, (4,)).layers
    assert (hidden.out_features, last.in_features, last.out_features) == (128, 128, 3)


def test_network_is_portable_with_its_normalisation(tmp_path):
    network = ConvNet((2, 8, 9), 3, (4,), mean=(0.2, 0.3), std=(0.5, 0.6)).eval()
    save(network, tmp_path / "network.ckpt")
    images = torch.rand(2, 2, 8, 9)
    assert torch.equal(load(tmp_path / "network.ckpt", ConvNet)(images), network(images))


@pytest.mark.parametrize("network", [ConvNet((3, 16, 16), 5, (4, 8)), ResidualNet(5, 3, (4, 8))])
def test_convolutions_lie_channels_last_which_changes_no_output(network):
    weights = [layer.weight for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    images = torch.rand(3, 3, 16, 16)
    plain = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    assert torch.allclose(network.eval()(images), plain.eval()(images), atol=1e-5)
