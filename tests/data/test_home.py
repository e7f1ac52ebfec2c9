"""A path that begins with ~ lies in the user's home, whichever argument it is given for."""

import re

import pytest
import torch
from torchvision import models

from attacks import FGSM
from data import ASSIRA, CIFAR10, MNIST, AdversarialData, Digits, FashionMNIST, ImageFolder, Torchvision
from data.store.store import Store
from detectors import Classifier, TorchvisionNetwork, WrappedNetwork
from experiments.training.run_folder import Run
from saliency.checkpoints import load, save
from tests.data.pictures import write_classes


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.mark.parametrize("kind", [ASSIRA, CIFAR10, MNIST, FashionMNIST, Digits, ImageFolder, Torchvision])
def test_root_of_every_data_set(kind, home):
    options = {"name": "KMNIST"} if kind is Torchvision else {}
    assert kind(root="~/sets", **options).root == str(home / "sets")
    assert kind(root="~no such user/sets", **options).root == "~no such user/sets"
    assert kind(root="a/~", **options).root == "a/~"


def test_everything_that_a_detector_reads_and_writes_lies_in_the_home(home, tmp_path):
    write_classes(home / "sets", ("a", "b"))
    images = ImageFolder("~/sets", size=12, cache="~/decoded")
    classifier = Classifier((3, 12, 12), 2, widths=(4,)).eval()
    save(classifier, home / "model.ckpt")
    data = AdversarialData(images, "~/model.ckpt", FGSM(epsilon=0.1), store="~/store")
    data.setup("test")
    loaded = load(home / "model.ckpt").state_dict()
    assert all(torch.equal(weights, loaded[name]) for name, weights in data.classifier.state_dict().items())
    assert len(list((home / "decoded").glob("*.pixels"))) == 1
    assert len(Store("~/store").entries()) == len(list((home / "store").iterdir())) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"home"}


def test_checkpoints_weights_and_runs_that_are_named_in_python(home, tmp_path):
    save(Classifier((3, 12, 12), 2, widths=(4,)), "~/model.ckpt")
    model = models.squeezenet1_1(num_classes=2)
    torch.save(model.state_dict(), home / "weights.pt")
    weights = TorchvisionNetwork("squeezenet1_1", 2, weights="~/weights.pt").model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in model.state_dict().items())
    WrappedNetwork(models.SqueezeNet, {"version": "1_1", "num_classes": 2}, weights="~/weights.pt")
    with pytest.raises(FileNotFoundError, match=re.escape(f"the run folder {home / 'run'} does not exist")):
        Run("~/run")
    assert {path.name for path in tmp_path.iterdir()} == {"home"}
    assert {path.name for path in home.iterdir()} == {"model.ckpt", "weights.pt"}
