import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision import models

from detectors import Classifier
from saliency import GradCAM
from saliency.maps import grad_cam
from tests.saliency.maps.cases import hooks_of


def test_a_network_by_hand():
    """Two maps, x and 1 - x, pooled and weighed: Grad-CAM is their weighted sum, what is negative dropped."""
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        network[0].bias.copy_(torch.tensor([0.0, 1.0]))
        network[4].weight.copy_(torch.tensor([[4.0, -8.0], [0.0, 4.0]]))
    images = torch.tensor([0.0, 0.25, 0.75, 1.0]).view(1, 1, 2, 2)  # each of the four places has a quarter of a weight
    first, second = (GradCAM().attributions(network, images, torch.tensor([k])).flatten().tolist() for k in (0, 1))
    assert first == [0.0, 0.0, 0.25, 1.0]  # x - 2 (1 - x): -2, -1.25, .25, 1
    assert second == [1.0, 0.75, 0.25, 0.0]  # 1 - x


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("alexnet", "features.11"),
        ("resnet18", "layer4"),
        ("googlenet", "inception5b"),
        ("densenet121", "features"),
        ("inception_v3", "Mixed_7c"),
        ("mobilenet_v2", "features"),
    ],
)
def test_the_last_layer_before_pooling_is_found(name, layer, monkeypatch):
    options = {"init_weights": False, "aux_logits": False} if name in {"googlenet", "inception_v3"} else {}
    network = models.get_model(name, weights=None, **options).eval()
    chosen = []
    search = grad_cam._last
    monkeypatch.setattr(grad_cam, "_last", lambda *given: chosen.append(search(*given)) or chosen[-1])
    images = torch.rand(1, 3, 150, 150)
    assert torch.equal(GradCAM()(network, images), GradCAM(layer=layer)(network, images))
    assert chosen == [layer]
    assert hooks_of(network) == 0


@pytest.mark.slow
def test_what_comes_before_a_convolution_or_attention_is_no_place(images):
    dense = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(144, 4))
    with pytest.raises(ValueError, match="needs a layer from a convolution on"):
        GradCAM()(dense, images)
    with pytest.raises(ValueError, match="that no attention follows"):
        GradCAM()(models.vit_b_32(weights=None, image_size=64), torch.rand(1, 3, 64, 64))


def test_the_papers_network_is_asked_at_its_last_relu(classifier, images):
    layers = classifier.network.layers
    last = max(number for number, layer in enumerate(layers) if isinstance(layer, nn.ReLU))
    assert torch.equal(GradCAM()(classifier, images), GradCAM(layer=f"network.layers.{last}")(classifier, images))


def test_maps_are_enlarged_bilinearly(images):
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.MaxPool2d(4), nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Linear(9, 2))
    small = GradCAM(layer="2")(network, images)
    with torch.no_grad():
        values = network[2](network[1](network[0](images)))
        weight = network[4].weight.view(2, 1, 3, 3)[network(images).argmax(1)].mean((2, 3), keepdim=True)
    expected = functional.interpolate((values * weight).clamp_min(0), (12, 12), mode="bilinear")
    assert torch.allclose(small, expected, atol=1e-6)


def test_an_unknown_layer_is_refused_with_the_known_ones(classifier, images):
    with pytest.raises(ValueError, match=r"no layer 'conv9' in the network: its convolutions are network\.layers\.1"):
        GradCAM(layer="conv9")(classifier, images)


def test_a_layer_without_a_place_is_refused(classifier, images):
    *_, dense = (name for name, layer in classifier.named_modules() if isinstance(layer, nn.Linear))
    with pytest.raises(ValueError, match="gives no maps"):
        GradCAM(layer=dense)(classifier, images)


def test_a_layer_that_the_logits_do_not_depend_on_is_refused(images):
    class Spare(nn.Sequential):
        def forward(self, batch):
            return super().forward(batch)[:, :2]

    network = Spare(nn.Conv2d(1, 1, 3), nn.Flatten(), nn.Linear(100, 4))
    network.add_module("unused", nn.Conv2d(1, 1, 1))
    network.forward = lambda batch: network[2](network[1](network[0](batch)))
    with pytest.raises(ValueError, match="'unused' gives no maps that the logits depend on"):
        GradCAM(layer="unused")(network, images)


def test_a_network_without_maps_is_refused(linear, images):
    with pytest.raises(
        ValueError, match="Grad-CAM needs a layer from a convolution on whose output has a height and a width"
    ):
        GradCAM()(linear, images)


def test_hooks_go_also_when_the_search_fails(images, monkeypatch):
    network = Classifier((1, 12, 12), 4, widths=(4,)).eval()

    def broken(*_):
        msg = "out of memory"
        raise RuntimeError(msg)

    monkeypatch.setattr(network.network.layers[-1], "forward", broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        grad_cam.GradCAM()(network, images, torch.zeros(8, dtype=torch.long))
    assert hooks_of(network) == 0
