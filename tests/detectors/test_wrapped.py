import importlib
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

import train
from attacks import FGSM
from detectors import Classifier, ConvNet, WrappedNetwork, load
from saliency.checkpoints import save
from tests.saliency.helpers import loader, same, snapshot

SHAPE = (1, 12, 12)
SOURCE = """
from pathlib import Path
from torch import nn

(Path(__file__).parent / "imported").touch()


class Theirs(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(144, width), nn.ReLU(), nn.Linear(width, 4))

    def forward(self, images):
        return self.layers(images)


class NoNetwork:
    pass
"""


class Mine(nn.Module):
    """A user's own network, that knows nothing of this project."""

    def __init__(self, width=3, names=()):
        super().__init__()
        self.names = names
        self.layers = nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.Flatten(), nn.LazyLinear(4))
        self.layers(torch.zeros(1, *SHAPE))

    def forward(self, images):
        return self.layers(images)


def _classifier(**given):
    return Classifier(SHAPE, 4, network=WrappedNetwork(Mine, {"width": 5, "names": ["a"]}, **given)).eval()


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A folder of a module on the path, that is not imported yet and tells when it is."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "wrapped_test_module.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(folder)
    return folder


def test_logits_are_the_network_s_of_images_normalised_and_resized_by_hand(images):
    wrapped = WrappedNetwork(Mine, size=12, mean=(0.2,), std=(0.5,)).eval()
    small = functional.interpolate(images, (9, 9))
    resized = functional.interpolate((small - 0.2) / 0.5, (12, 12), mode="bilinear", antialias=True)
    assert torch.allclose(wrapped(small), wrapped.model(resized), atol=1e-5)


def test_by_default_images_are_seen_as_they_are(images):
    wrapped = WrappedNetwork(Mine).eval()
    assert torch.equal(wrapped(images), wrapped.model(images))


def test_round_trip_is_exact_and_needs_no_file(tmp_path, images):
    path = tmp_path / "weights.pth"
    torch.save(Mine(5).state_dict(), path)
    classifier = _classifier(weights=str(path), std=(0.5,))
    path.unlink()
    save(classifier, tmp_path / "model.ckpt")
    loaded = load(tmp_path / "model.ckpt", Classifier)
    assert torch.equal(loaded(images), classifier(images))
    assert same(loaded, snapshot(classifier))
    assert loaded.network.model.names == ["a"]
    assert loaded.network.arguments()["network"] == f"{__name__}.Mine"
    assert loaded.network.arguments()["weights"] is None


def test_lightning_s_own_checkpoint_is_read_too(trainer, tmp_path, images, labels):
    classifier = _classifier()
    trainer.fit(classifier, loader(images, labels))
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert same(load(tmp_path / "last.ckpt"), snapshot(classifier))


def test_attack_works(images):
    adversarial = FGSM(epsilon=0.1)(_classifier(), images)
    assert ((adversarial - images).abs().amax((1, 2, 3)) > 0.05).all()


# what a checkpoint may not do


def test_loading_imports_nothing_that_a_checkpoint_names(theirs, tmp_path, images):
    classifier = Classifier(SHAPE, 4, network=WrappedNetwork(_theirs().Theirs)).eval()
    save(classifier, tmp_path / "model.ckpt")
    del sys.modules["wrapped_test_module"]
    (theirs / "imported").unlink()
    with pytest.raises(ValueError, match=r"wrapped_test_module\.Theirs is not known here: import the module that def"):
        load(tmp_path / "model.ckpt")
    assert not (theirs / "imported").exists()
    assert "wrapped_test_module" not in sys.modules
    _theirs()
    assert torch.equal(load(tmp_path / "model.ckpt")(images), classifier(images))


@pytest.mark.parametrize(
    "path",
    ["os.system", "builtins.eval", "pathlib.Path", f"{__name__}.SHAPE", f"{__name__}.Missing", "Mine", "", "a.b.c"],
)
def test_path_of_anything_but_a_network_is_refused(path, tmp_path):
    _doctored(tmp_path / "model.ckpt", path)
    with pytest.raises(
        ValueError, match=f"network {path} is not known here" if path else "cannot be built: the network"
    ):
        load(tmp_path / "model.ckpt")


@pytest.mark.parametrize(
    "path",
    [
        "torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity",
        "torchmetrics.functional.image.lpips._LPIPS",
        "torchmetrics.image.fid.FrechetInceptionDistance",
    ],
)
def test_a_metric_that_may_read_or_download_files_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: pytest.fail("it was downloaded"))
    importlib.import_module(path.rpartition(".")[0])
    _doctored(tmp_path / "model.ckpt", path)
    with pytest.raises(ValueError, match=f"network {path} is a metric, which may read or download files"):
        load(tmp_path / "model.ckpt")


def test_a_module_s_own_getattr_is_not_asked(theirs, tmp_path):
    module = _theirs()
    module.__getattr__ = lambda name: (theirs / name).touch()
    _doctored(tmp_path / "model.ckpt", "wrapped_test_module.marker")
    with pytest.raises(ValueError, match="is not known here"):
        load(tmp_path / "model.ckpt")
    assert not (theirs / "marker").exists()


def _theirs():
    return importlib.import_module("wrapped_test_module")


def _doctored(path, network):
    """Write a checkpoint that names something else as its network."""
    save(_classifier(), path)
    contents = torch.load(path, weights_only=True)
    contents["architecture"]["arguments"]["network"]["arguments"]["network"] = network
    torch.save(contents, path)


# weights


@pytest.mark.parametrize(
    "nest",
    [
        lambda weights: weights,
        lambda weights: {"state_dict": weights, "epoch": 3},
        lambda weights: {"model": weights},
        lambda weights: {"state_dict": {f"model.{key}": value for key, value in weights.items()} | {"loss.weight": 1}},
        lambda weights: {"state_dict": {f"network.{key}": value for key, value in weights.items()}},
        lambda weights: {f"module.{key}": value for key, value in weights.items()},
    ],
    ids=["plain", "state_dict", "model", "Lightning", "Lightning's network", "DataParallel"],
)
def test_weights_are_found_in_a_file(nest, tmp_path):
    reference = Mine()
    torch.save(nest(reference.state_dict()), tmp_path / "weights.pth")
    assert same(WrappedNetwork(Mine, weights=str(tmp_path / "weights.pth")).model, snapshot(reference))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (Mine(4).state_dict(), r"do not fit this Mine \(size mismatch for layers\.0\.weight"),
        ({"layers.0.weight": torch.zeros(3, 1, 3, 3)}, r"do not fit this Mine \(layers\.0\.bias is missing there\)"),
        (Mine().state_dict() | {"more": torch.zeros(1)}, r"do not fit this Mine \(more is not in the network\)"),
        ({"epoch": 3}, r"holds no state_dict, neither itself nor under state_dict or model: write it with"),
        ([1, 2], "holds no state_dict"),
        (Mine(), "is damaged, or holds more than tensors and plain values: write it with torch.save"),
    ],
    ids=["another shape", "missing", "too many", "no weights", "list", "whole module"],
)
def test_file_that_does_not_fit_is_refused_with_a_sentence(contents, message, tmp_path):
    torch.save(contents, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"weights\.pth " + message) as caught:
        WrappedNetwork(Mine, weights=str(tmp_path / "weights.pth"))
    assert "\n" not in str(caught.value)


def test_missing_and_damaged_files_are_refused_with_a_sentence(tmp_path):
    path = tmp_path / "weights.pth"
    with pytest.raises(FileNotFoundError, match=r"no file of weights .*weights\.pth: give the path"):
        WrappedNetwork(Mine, weights=str(path))
    torch.save(Mine().state_dict(), path)
    content = path.read_bytes()
    for damaged in (
        b"",
        b"hello",
        content[: len(content) // 2],
        content.replace(b"\x00\x00\x80?", b"\x01\x00\x80?", 1),
    ):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"weights\.pth is damaged"):
            WrappedNetwork(Mine, weights=str(path))


# what the constructor refuses


@pytest.mark.parametrize("network", [Mine(), int, len, None])
def test_something_else_than_a_class_of_a_network_is_refused(network):
    with pytest.raises(TypeError, match=r"network must be a class derived from torch\.nn\.Module, got"):
        WrappedNetwork(network)


def test_class_that_its_path_does_not_find_is_refused():
    class Local(Mine):
        pass

    with pytest.raises(TypeError, match="cannot be found by its path: define the class at the top level"):
        WrappedNetwork(Local)


def test_options_that_the_class_does_not_take_are_refused():
    with pytest.raises(ValueError, match=r"Mine cannot be built with options=\{'depth': 2\}: .*depth"):
        WrappedNetwork(Mine, {"depth": 2})


def test_options_that_no_checkpoint_can_keep_are_refused():
    with pytest.raises(TypeError, match=r"WrappedNetwork\.options cannot be kept in a checkpoint: Tensor"):
        WrappedNetwork(Mine, {"names": [torch.zeros(1)]})


def test_images_too_small_are_refused_by_the_classifier_and_a_size_is_suggested():
    with pytest.raises(ValueError, match=r"WrappedNetwork does not take images \(1, 5, 5\) .*set its option size"):
        Classifier((1, 5, 5), 4, network=WrappedNetwork(Mine))


# in a config


def _fit(tmp_path, **given):
    options = {"accelerator": "cpu", "max_epochs": "0", "default_root_dir": str(tmp_path / "run")}
    flags = [part for key, value in options.items() for part in (f"--trainer.{key}", value)]
    network = {"class_path": "detectors.WrappedNetwork", "init_args": given}
    config = tmp_path / "config.yaml"
    config.write_text(
        "model: {class_path: detectors.Classifier, init_args: {shape: [1, 28, 28], classes: 10, network: "
        f"{network}}}}}\ndata: {{class_path: data.Digits}}\n"
    )
    return train.main(["fit", "--config", str(config), *flags])


@pytest.mark.slow
@pytest.mark.usefixtures("theirs")
def test_config_imports_the_class_and_a_fit_of_no_epochs_leaves_the_given_weights(tmp_path):
    (tmp_path / "theirs" / "wrapped_test_module.py").write_text(SOURCE.replace("144", "784").replace("4)", "10)"))
    assert _fit(tmp_path, network="wrapped_test_module.Theirs", options={"width": 6}) == 0
    trained = snapshot(load(tmp_path / "run" / "model.ckpt").network.model)
    torch.save(trained, tmp_path / "weights.pth")
    (tmp_path / "run" / "model.ckpt").unlink()
    given = {"options": {"width": 6}, "weights": str(tmp_path / "weights.pth")}
    assert _fit(tmp_path, network="wrapped_test_module.Theirs", **given) == 0
    assert same(load(tmp_path / "run" / "model.ckpt").network.model, trained)


@pytest.mark.parametrize("network", ["wrapped_test_module.NoNetwork", "wrapped_test_module.Missing", "no_such.Class"])
@pytest.mark.usefixtures("theirs")
def test_config_that_names_no_network_is_refused(network, tmp_path, capsys):
    assert _fit(tmp_path, network=network) == 2
    assert network.split(".")[-2] in capsys.readouterr().err


def test_networks_of_this_project_need_no_wrapping(images):
    assert Classifier(SHAPE, 4, network=ConvNet(SHAPE, 4, (4,)))(images).shape == (8, 4)
