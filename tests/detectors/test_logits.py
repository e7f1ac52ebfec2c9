"""Classifiers that return a dict, a tuple, or an object with `.logits`."""

import re
from collections import OrderedDict
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from attacks import FGSM
from detectors import Classifier, WrappedNetwork, load
from detectors.logits import LogitsOf, logits_of
from experiments.study.user_modules import own_classifier
from saliency.checkpoints import save
from tests.experiments.white_box.test_documents import block

SHAPE = (1, 6, 6)


class ModelOutput(OrderedDict):
    """As Hugging Face's: a dict whose values are attributes too."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(name) from error


FORMS = {
    "tensor": lambda logits: logits,
    "dict": lambda logits: {"features": logits * 0, "logits": logits},
    "only value": lambda logits: {"out": logits},
    "tuple": lambda logits: (logits, logits * 0),
    "list": lambda logits: [logits],
    "ModelOutput": lambda logits: ModelOutput(loss=logits.sum(), logits=logits),
    "object": lambda logits: SimpleNamespace(logits=logits),
}


class Net(nn.Module):
    """A linear classifier that returns its logits in one of `FORMS`."""

    def __init__(self, form="tensor"):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(36, 4)
        self.form = form

    def forward(self, images):
        return FORMS[self.form](self.linear(images.flatten(1)))


class Nothing(Net):
    def forward(self, images):
        return {"first": images, "second": images}


def images():
    return torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_read_wherever_a_classifier_is_given(form, tmp_path):
    expected = Net()(images())
    wrapped = WrappedNetwork(Net, {"form": form})
    save(Classifier(SHAPE, 4, network=wrapped), tmp_path / "model.ckpt")
    device = torch.device("cpu")
    for network in (
        LogitsOf(Net(form)),
        wrapped,
        Classifier(SHAPE, 4, network=Net(form)),
        load(tmp_path / "model.ckpt", Classifier),
        own_classifier(Net(form), device, images()[:1], 4),
    ):
        assert torch.equal(network.eval()(images()), expected)
    adversarial = FGSM(epsilon=0.1)(own_classifier(Net(form), device, images()[:1], 4), images())
    assert torch.equal(adversarial, FGSM(epsilon=0.1)(Net().eval(), images()))


def test_a_classifier_that_gives_a_tensor_is_used_as_it_is():
    net = Net()
    assert own_classifier(net, torch.device("cpu"), images()[:1], 4) is net


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ({"first": torch.ones(1, 4), "second": torch.ones(1, 4)}, "gives a dict with the keys first, second"),
        ({}, "gives a dict with the keys none"),
        ((), "gives a tuple"),
        (("a", "b"), "gives a tuple"),
        (3, "gives a int"),
        (None, "gives a NoneType"),
    ],
)
def test_what_holds_no_logits_is_refused(output, told):
    with pytest.raises(TypeError, match=re.escape(told) + ": it must give logits"):
        logits_of(output)


def test_a_classifier_without_logits_is_refused_by_name():
    with pytest.raises(ValueError, match=r"Nothing does not take images .*keys first, second: it must give logits"):
        own_classifier(Nothing(), torch.device("cpu"), images()[:1], 4)
    with pytest.raises(ValueError, match=r"Nothing does not take images .*keys first, second: it must give logits"):
        Classifier(SHAPE, 4, network=Nothing())


def example(mark, function, *changes):
    """The classifier that an example of the documents builds, untrained."""
    code = block("tutorials/classifier.md", mark)
    for change in changes:
        code = code.replace(*change)
    names = {}
    exec(code, names)  # noqa: S102 - the page's own code
    return own_classifier(names[function](), torch.device("cpu"), torch.rand(1, 3, 224, 224), 1000)


def test_the_example_of_torchvision():
    net = example("# my_nets.py: torchvision", "resnet", ('weights="DEFAULT"', "weights=None"))
    assert net(torch.rand(2, 3, 64, 64)).shape == (2, 1000)


@pytest.mark.slow
def test_the_example_of_timm():
    net = example("# my_nets.py: timm", "convnext", ("pretrained=True", "pretrained=False"))
    assert net(torch.rand(2, 3, 64, 64)).shape == (2, 1000)


def test_the_example_of_hugging_face():
    # not among the tests' packages: once it is installed, torchmetrics imports it, and every start takes a second more
    transformers = pytest.importorskip("transformers")
    config = "from_config(ViTConfig(num_hidden_layers=1, num_labels=1000))"
    net = example(
        "# my_nets.py: Hugging Face",
        "vit",
        ('from_pretrained("google/vit-base-patch16-224")', config),
        ("import AutoModel", f"import {transformers.ViTConfig.__name__}, AutoModel"),
    )
    assert net(torch.rand(2, 3, 224, 224)).shape == (2, 1000)
