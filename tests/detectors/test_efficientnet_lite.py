import sys

import numpy as np
import pytest
import torch
from skimage import data
from torch.nn import functional

from detectors import Classifier, EfficientNetLite0, load
from saliency import Enhanced, GuidedBackprop
from saliency.checkpoints import save


@pytest.fixture(scope="module")
def network():
    return EfficientNetLite0(size=224).eval()


def _square(name):
    """A photograph of scikit-image, cut to its centre: (1, 3, S, S) in [0, 1]."""
    pixels = torch.from_numpy(np.asarray(getattr(data, name)())).permute(2, 0, 1).float() / 255
    side = min(pixels.shape[1:])
    top, left = ((length - side) // 2 for length in pixels.shape[1:])
    return pixels[None, :, top : top + side, left : left + side]


@pytest.mark.parametrize(("photograph", "category"), [("cat", "Egyptian cat"), ("coffee", "espresso")])
def test_packaged_weights_name_what_a_photograph_shows(network, photograph, category):
    with torch.no_grad():
        assert network.categories[network(_square(photograph)).argmax()] == category


def test_logits_are_those_of_the_package_on_images_normalised_by_hand(network):
    images = _square("coffee")
    resized = functional.interpolate(images * 255, (224, 224), mode="bilinear", antialias=True)
    with torch.no_grad():
        assert torch.allclose(network(images), network.model((resized - 127) / 128), atol=1e-3)


def test_grey_images_are_repeated_in_three_channels(network):
    images = torch.rand(1, 1, 40, 40)
    with torch.no_grad():
        assert torch.equal(network(images), network(images.repeat(1, 3, 1, 1)))


def test_untrained_network_is_read_from_a_checkpoint(network, tmp_path):
    save(Classifier((3, 224, 224), 1000, network=network), tmp_path / "model.ckpt")
    loaded, images = load(tmp_path / "model.ckpt", Classifier).eval(), torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.equal(loaded(images), network(images))


def test_guided_backpropagation_takes_its_relu6(network):
    images, labels = functional.interpolate(_square("cat"), 224), torch.tensor([285])
    assert GuidedBackprop()(network, images, labels).abs().sum() > 0
    assert Enhanced()(network, images, labels).abs().sum() > 0


def test_a_missing_package_is_told_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ValueError, match=r"efficientnet_lite_pytorch is not installed: run pip .*imagenet"):
        EfficientNetLite0()


def test_a_missing_file_of_weights_is_told():
    with pytest.raises(FileNotFoundError, match=r"there is no file of weights nowhere.pt"):
        EfficientNetLite0("nowhere.pt")


def test_other_classes_get_a_new_last_layer_over_imagenet_s_weights(network):
    with pytest.warns(UserWarning, match=r"last layer _fc of .* initial weights: it has 2 outputs, and .* 1000; train"):
        two = EfficientNetLite0(outputs=2).eval()
    images = functional.interpolate(_square("cat"), 64)
    assert two(images).shape == (1, 2)
    assert two.categories is None
    features = [each.model.extract_features(each.normalize(images)) for each in (two, network)]
    assert torch.equal(*features)


@pytest.mark.filterwarnings("ignore:the last layer")
def test_a_network_with_a_new_last_layer_is_read_from_a_checkpoint(tmp_path):
    network = EfficientNetLite0(outputs=2).eval()
    save(Classifier((3, 64, 64), 2, network=network), tmp_path / "model.ckpt")
    loaded, images = load(tmp_path / "model.ckpt", Classifier).eval(), torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(loaded(images), network(images))


def test_no_outputs_are_refused():
    with pytest.raises(ValueError, match="outputs must be at least 1, got 0"):
        EfficientNetLite0(outputs=0)
