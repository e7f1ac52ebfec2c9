import re
import urllib.error
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision import models

import train
from attacks import FGSM
from detectors import JSD, Classifier, TorchvisionNetwork, load
from saliency.checkpoints import save
from tests.saliency.helpers import loader, same, snapshot

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
NAMED = {"alexnet": (64, IMAGENET), "resnet18": (32, IMAGENET), "inception_v3": (75, ((0.5,) * 3, (0.5,) * 3))}


@pytest.fixture
def offline(monkeypatch):
    """Every download fails as without internet, and there are no earlier ones."""

    def fail(*_, **__):
        msg = "Name or service not known"
        raise urllib.error.URLError(msg)

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)


def _small(outputs=5, **given):
    return TorchvisionNetwork("squeezenet1_1", outputs, **given).eval()


def _official(name, outputs=1000, **given):
    """torchvision's own network, as its published weights are made from."""
    torch.manual_seed(3)
    return models.get_model(name, weights=None, num_classes=outputs, **given).eval()


def _by_hand(network, images, size, mean, std):
    channels = images.repeat(1, 3, 1, 1) if images.shape[1] == 1 else images
    resized = functional.interpolate(channels, (size, size), mode="bilinear", antialias=True)
    normalised = (resized - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    return network.model(normalised)


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("channels", [1, 3])
def test_logits_are_those_of_torchvision_on_images_normalised_and_resized_by_hand(name, channels):
    size, (mean, std) = NAMED[name]
    network = TorchvisionNetwork(name, 10, size=size).eval()
    images = torch.rand(2, channels, 28, 20)
    logits = network(images)
    assert logits.shape == (2, 10)
    assert torch.allclose(logits, _by_hand(network, images, size, mean, std), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [*NAMED, "vgg16", "googlenet", "vit_b_32", "efficientnet_v2_s"])
def test_architecture_is_torchvision_s_without_auxiliary_heads(name):
    with torch.device("meta"):
        network = TorchvisionNetwork(name, 10, size=224)
        expected = models.get_model(
            name, num_classes=10, **({"init_weights": True} if name in ("googlenet", "inception_v3") else {})
        )
        logits = network.eval()(torch.empty(2, 1, 28, 28))
    auxiliary = ("AuxLogits.", "aux1.", "aux2.")
    shapes = {key: value.shape for key, value in expected.state_dict().items() if not key.startswith(auxiliary)}
    assert {key: value.shape for key, value in network.model.state_dict().items()} == shapes
    assert logits.shape == (2, 10)


@pytest.mark.long
def test_vgg16_gives_torchvision_s_logits():
    network = TorchvisionNetwork("vgg16", 10, size=32).eval()
    images = torch.rand(2, 1, 28, 28)
    assert torch.allclose(network(images), _by_hand(network, images, 32, *IMAGENET), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_inception_s_normalisation_is_that_of_torchvision_s_transform_input():
    reference = _official("inception_v3", 10, aux_logits=True, transform_input=True, init_weights=True)
    network = TorchvisionNetwork("inception_v3", 10).eval()
    network.model.load_state_dict(
        {key: value for key, value in reference.state_dict().items() if not key.startswith("AuxLogits.")}
    )
    images = torch.rand(1, 3, 80, 80)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in IMAGENET)
    assert torch.allclose(network(images), reference((images - mean) / std), rtol=1e-3, atol=1e-4)


def test_without_a_size_images_are_seen_as_they_are():
    network, images = _small(), torch.rand(2, 3, 40, 50)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in IMAGENET)
    assert torch.allclose(network(images), network.model((images - mean) / std), atol=1e-5)


def test_larger_images_are_brought_to_the_size_without_aliasing():
    network, images = _small(size=32), torch.rand(2, 3, 100, 70)
    assert torch.allclose(network(images), _by_hand(network, images, 32, *IMAGENET), rtol=1e-3, atol=1e-4)


def test_given_normalisation_is_used():
    network, images = _small(mean=(0.1,), std=(0.7,)), torch.rand(2, 1, 40, 40)
    assert torch.allclose(network(images), network.model((images.repeat(1, 3, 1, 1) - 0.1) / 0.7), atol=1e-5)


@pytest.mark.parametrize("name", ["alexnet", "inception_v3", "resnet18", "squeezenet1_1"])
def test_network_has_tensor_outputs_in_train_mode_too(name):
    network = TorchvisionNetwork(name, 3, size=96).train()
    assert network(torch.rand(2, 1, 28, 28)).shape == (2, 3)


# checkpoints


@pytest.mark.parametrize("name", ["resnet18", "mnasnet0_5", "squeezenet1_1"])
@pytest.mark.usefixtures("offline")
def test_round_trip_needs_no_network_and_no_file(name, tmp_path):
    torch.save(_official(name, 10).state_dict(), tmp_path / "weights.pth")
    network = TorchvisionNetwork(name, 10, weights=str(tmp_path / "weights.pth"), size=33, std=(0.3,))
    classifier = Classifier((1, 28, 28), 10, network=network, learning_rate=0.5).eval()
    (tmp_path / "weights.pth").unlink()
    save(classifier, tmp_path / "model.ckpt")
    loaded = load(tmp_path / "model.ckpt", Classifier)
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(loaded(images), classifier(images))
    assert same(loaded, snapshot(classifier))
    assert loaded.network.arguments() == network.arguments() | {"mean": list(network.mean), "std": [0.3]}
    assert loaded.network.arguments()["weights"] is None


def test_lightning_s_own_checkpoint_is_read_too(trainer, tmp_path):
    classifier = Classifier((1, 12, 12), 4, network=_small(4, size=32))
    trainer.fit(classifier, loader(torch.rand(8, 1, 12, 12), torch.arange(8) % 4))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert same(load(tmp_path / "last.ckpt"), snapshot(classifier))


# weights from a file


@pytest.fixture(params=["resnet18", "squeezenet1_1"])
def official(request):
    return request.param, _official(request.param)


def _head(network):
    return [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]


def test_weights_of_a_file_are_loaded_with_the_head(official, tmp_path):
    name, reference = official
    torch.save(reference.state_dict(), tmp_path / "weights.pth")
    network = TorchvisionNetwork(name, 1000, weights=str(tmp_path / "weights.pth"))
    assert same(network.model, snapshot(reference))


@pytest.mark.parametrize("has_head", [True, False])
def test_weights_of_a_file_whose_head_is_another_are_loaded_but_for_the_head(has_head, official, tmp_path):
    name, reference = official
    weights, head = reference.state_dict(), _head(reference)
    kept = OrderedDict((key, value) for key, value in weights.items() if has_head or not key.startswith(head))
    torch.save(kept, tmp_path / "weights.pth")
    torch.manual_seed(8)
    initial = snapshot(TorchvisionNetwork(name, 7).model)
    torch.manual_seed(8)
    held = r" one of 1000" if has_head else " none"
    with pytest.warns(
        UserWarning, match=rf"last layer {head} of {name} has .*: it has 7 outputs, and .*\.pth{held}; tra"
    ):
        loaded = TorchvisionNetwork(name, 7, weights=str(tmp_path / "weights.pth")).model.state_dict()
    for key, value in loaded.items():
        assert torch.equal(value, (initial if key.startswith(head) else weights)[key])


def test_auxiliary_heads_of_a_file_are_left_out(tmp_path):
    reference = _official("googlenet", aux_logits=True, init_weights=False)
    torch.save(reference.state_dict(), tmp_path / "weights.pth")
    network = TorchvisionNetwork("googlenet", 1000, weights=str(tmp_path / "weights.pth")).eval()
    images = torch.rand(1, 3, 32, 32)
    assert torch.allclose(network(images), reference((images - 0.5) / 0.5), atol=1e-5)


def test_densenet_s_published_names_are_understood(tmp_path):
    reference = _official("densenet121")
    weights = reference.state_dict().items()
    old = {re.sub(r"(denselayer\d+\.)(norm|conv)(\d)", r"\1\2.\3", key): value for key, value in weights}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "weights.pth")
    network = TorchvisionNetwork("densenet121", 1000, weights=str(tmp_path / "weights.pth"))
    assert same(network.model, snapshot(reference))


def test_weights_by_name_are_torchvision_s(monkeypatch):
    reference, asked = _official("squeezenet1_1"), []

    def download(url, **options):
        asked.append((url, options["check_hash"], options["weights_only"]))
        return reference.state_dict()

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    for weights in ("IMAGENET1K_V1", "DEFAULT"):
        assert same(_small(1000, weights=weights).model, snapshot(reference))
    assert asked == [(models.SqueezeNet1_1_Weights.IMAGENET1K_V1.url, True, True)] * 2


@pytest.mark.parametrize(
    ("outputs", "options", "told"),
    [
        (
            5,
            ["--trainer.max_epochs", "0"],
            "of squeezenet1_1 has its initial weights: it has 10 outputs, and w.pth one of 5; ",
        ),
        (
            5,
            ["--trainer.limit_train_batches", "0"],
            "this fit does not train it: give weights that fit, or train the netw",
        ),
        (5, ["--trainer.max_steps", "0"], "this fit does not train it"),
        (5, ["--trainer.max_epochs", "1"], None),
        (10, ["--trainer.max_epochs", "0"], None),
    ],
)
@pytest.mark.filterwarnings("ignore:the last layer")
def test_a_fit_that_would_leave_the_last_layer_at_random_is_refused(
    tmp_path, monkeypatch, capsys, outputs, options, told
):
    monkeypatch.chdir(tmp_path)
    torch.save(_small(outputs).model.state_dict(), "w.pth")
    assert _fit("detectors.Classifier", ["--model.shape", "[1,28,28]", "--model.classes", "10"], "model", options) == (
        told is not None
    )
    assert (told or "") in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the last layer")
def test_a_detector_whose_classifier_has_its_last_layer_at_random_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.save(_small(5).model.state_dict(), "w.pth")
    classifier = ["--model.classifier", "detectors.Classifier", "--model.classifier.shape", "[1,28,28]"]
    assert _fit("detectors.ID", [*classifier, "--model.classifier.classes", "10"], "model.classifier", []) == 1
    assert "this fit does not train it" in capsys.readouterr().err


def _fit(model, options, place, more):
    """Fit on few small images, with a network from the file w.pth, and return the exit status."""
    network = {
        "": "detectors.TorchvisionNetwork",
        ".name": "squeezenet1_1",
        ".outputs": "10",
        ".weights": "w.pth",
        ".size": "24",
    }
    given = [part for key, value in network.items() for part in (f"--{place}.network{key}", value)]
    data = ["--data", "data.Digits", "--data.train_limit", "60", "--data.test_limit", "9"]
    flags = ["--trainer.accelerator", "cpu", "--trainer.default_root_dir", "out"]
    return train.main(["fit", "--model", model, *options, *given, *data, *flags, *more])


# what is refused


@pytest.mark.usefixtures("offline")
def test_weights_that_cannot_be_downloaded_are_refused_with_what_to_do():
    with pytest.raises(
        ConnectionError, match=r"IMAGENET1K_V1 of squeezenet1_1 .*squeezenet1_1-\w+\.pth .*give its path"
    ):
        _small(weights="IMAGENET1K_V1")


@pytest.mark.parametrize("weights", ["IMAGENET1K_V9", "missing.pth", "IMAGENET1K_FEATURES"])
def test_unknown_weights_are_refused_with_those_that_there_are(weights):
    with (
        torch.device("meta"),
        pytest.raises(
            FileNotFoundError, match=f"'{weights}' of vgg16 are neither a file nor one of IMAGENET1K_V1, DEF"
        ),
    ):
        TorchvisionNetwork("vgg16", 10, weights=weights)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", "no classification network 'resnet19': did you mean resnet18"),
        ("VGG16", "did you mean vgg16"),
        ("?", "known are alexnet, "),
        ("raft_large", "no classification network"),
    ],
)
def test_unknown_network_is_refused_with_close_ones(name, message):
    with pytest.raises(ValueError, match=message):
        TorchvisionNetwork(name, 10)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"outputs": 0}, "outputs must be at least 1, got 0"),
        ({"outputs": 2, "size": 0}, "size must be at least 1, got 0"),
    ],
)
def test_numbers_out_of_range_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        TorchvisionNetwork("squeezenet1_1", **given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("features.0.weight"), r"\(features\.0\.weight is missing there\)"),
        (lambda weights: weights.update(more=torch.zeros(1)), r"\(more is not in the network\)"),
        (
            lambda weights: weights.update({"features.0.bias": torch.zeros(3)}),
            r"\(size mismatch for features\.0\.bias: .*\[3\].*\[64\]",
        ),
    ],
    ids=["missing", "too many", "another shape"],
)
def test_weights_of_another_network_are_refused_with_the_first_difference(change, message, tmp_path):
    weights = dict(_official("squeezenet1_1", 5).state_dict())
    change(weights)
    torch.save(weights, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"weights\.pth do not fit this SqueezeNet " + message):
        _small(5, weights=str(tmp_path / "weights.pth"))


def test_images_too_small_are_refused_by_the_classifier_and_a_size_is_suggested():
    with pytest.raises(ValueError, match=r"does not take images \(3, 32, 32\) .*too small, set its option size"):
        Classifier((3, 32, 32), 10, network=TorchvisionNetwork("alexnet", 10))
    with pytest.raises(ValueError, match=r"does not take images \(3, 32, 32\) \([^;]*use a network made for them$"):
        Classifier((3, 32, 32), 10, network=TorchvisionNetwork("alexnet", 10, size=40))


# gradients


def test_gradients_reach_the_images_through_the_resize():
    network, images = _small(size=48), torch.rand(2, 1, 28, 28, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(images)[0].sum(), images)
    assert (gradient[0] != 0).any()
    assert not gradient[1].any()


def test_attack_works_and_leaves_the_classifier_as_it_was():
    classifier = Classifier((1, 28, 28), 10, network=TorchvisionNetwork("resnet18", 10, size=32))
    images, before = torch.rand(3, 1, 28, 28), snapshot(classifier)
    adversarial = FGSM(epsilon=0.1)(classifier, images)
    assert (adversarial - images).abs().amax((1, 2, 3)).tolist() == pytest.approx([0.1] * 3, abs=1e-5)
    assert same(classifier, before)
    assert classifier.network.training


def test_detector_takes_such_a_classifier():
    detector = JSD(Classifier((1, 28, 28), 4, network=_small(4, size=48))).eval()
    assert detector(torch.rand(2, 1, 28, 28)).isfinite().all()
