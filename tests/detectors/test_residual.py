import pytest
import torch
from torch import nn

from attacks import PGD
from detectors import Classifier, ResidualNet, load
from saliency import GuidedBackprop
from saliency.checkpoints import save


def test_sides_are_halved_from_the_second_block_on_and_one_row_of_outputs_is_given_per_image():
    network = ResidualNet(10, 3, (8, 16, 32))
    sides = []
    for layer in network.layers:
        layer.register_forward_hook(lambda _, __, output: sides.append(output.shape[2:]))
    assert network(torch.rand(2, 3, 28, 20)).shape == (2, 10)
    assert sides[-6:-3] == [(28, 20), (14, 10), (7, 5)]


def test_it_is_a_network_of_residual_blocks():
    """With the last batch normalisation of each block at zero, the block is the ReLU of its shortcut."""
    network = ResidualNet(4, 1, (5, 6)).eval()
    blocks = network.layers[4:6]
    for block in blocks:
        nn.init.zeros_(block.bn2.weight)
    values = torch.rand(2, 5, 8, 8) - 0.5
    assert torch.equal(blocks[0](values), values.relu())
    assert torch.allclose(blocks[1](values), blocks[1].downsample(values).relu())


@pytest.mark.parametrize(
    ("sizes", "name"),
    [
        ((4, 0, (4,)), "in_channels"),
        ((0, 1, (4,)), "outputs"),
        ((4, 1, ()), "blocks"),
        ((4, 1, (4, 0)), r"widths\[1\]"),
    ],
)
def test_sizes_below_one_are_refused(sizes, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        ResidualNet(*sizes)


def test_a_classifier_of_it_is_kept_attacked_and_explained(tmp_path, images, labels):
    classifier = Classifier((1, 12, 12), 4, network=ResidualNet(4, 1, (4, 8))).eval()
    save(classifier, tmp_path / "model.ckpt")
    with torch.no_grad():
        assert torch.equal(load(tmp_path / "model.ckpt").eval()(images), classifier(images))
    attacked = PGD(epsilon=0.1, step_size=0.02, steps=5)(classifier, images, labels)
    assert (attacked - images).abs().amax() <= 0.1 + 1e-6
    assert GuidedBackprop()(classifier, images, labels).abs().sum() > 0
