"""Guided backpropagation is right whatever form a network's ReLUs have, or is refused."""

import pytest
import torch
from captum.attr import GuidedBackprop as Captum
from torch import nn
from torch.nn import functional
from torchvision import models

from saliency import Gradient, GuidedBackprop
from saliency.maps.rectifiers import SeparateReLUs
from tests.saliency.maps.cases import Functional

FORMS = {
    "functional.relu": functional.relu,
    "functional.relu, in place": lambda values: functional.relu(values, inplace=True),
    "functional.relu, in place by position": lambda values: functional.relu(values, True),  # noqa: FBT003
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "tensor.relu": lambda values: values.relu(),
    "tensor.relu_": lambda values: values.relu_(),
    "clamp": lambda values: values.clamp(min=0),
    "clamp_min": lambda values: torch.clamp_min(values, 0.0),
    "clamp_": lambda values: values.clamp_(0),
    "clamp_min_": lambda values: values.clamp_min_(0),
    "clamp to infinity": lambda values: values.clamp(0, torch.inf),
    "clamp, a tensor": lambda values: values.clamp(min=torch.tensor(0.0)),
    "maximum": lambda values: torch.maximum(values, torch.zeros(())),
    "threshold": lambda values: functional.threshold(values, 0, 0),
    "threshold, in place": lambda values: functional.threshold(values, 0, 0, inplace=True),
    "nn.ReLU, in place": nn.ReLU(inplace=True),
    "in place, the result not used": lambda values: (values.relu_(), values)[1],
}


def test_a_network_by_hand():
    """Two hidden units; both see the image positively, but only one is held positively by the class."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3, 3, bias=False), nn.ReLU(), nn.Linear(3, 2, bias=False))
    with torch.no_grad():
        network[1].weight.copy_(torch.tensor([[1.0, -2.0, 0.0], [0.0, 1.0, 1.0], [-1.0, 0.0, 0.0]]))
        network[3].weight.copy_(torch.tensor([[2.0, -3.0, 5.0], [-1.0, 4.0, 1.0]]))
    images = torch.tensor([1.0, 0.25, 0.5]).view(1, 1, 1, 3)  # hidden before the ReLU: .5, .75, -1
    first, second = (GuidedBackprop().attributions(network, images, torch.tensor([k])).flatten() for k in (0, 1))
    assert first.tolist() == [2.0, -4.0, 0.0]  # 2 (1, -2, 0); -3 is dropped at the ReLU, the third unit is off
    assert second.tolist() == [0.0, 4.0, 4.0]  # 4 (0, 1, 1); -1 is dropped
    plain = Gradient().attributions(network, images, torch.tensor([0])).flatten()
    assert plain.tolist() == [2.0, -7.0, -3.0]


@pytest.mark.parametrize("rectify", FORMS.values(), ids=FORMS)
def test_every_form_of_relu_is_the_same(rectify, images, labels):
    torch.manual_seed(1)
    network = Functional(rectify)
    modules = nn.Sequential(network.first, nn.ReLU(), network.second, nn.ReLU(), nn.Flatten(), network.last)
    with torch.no_grad():
        assert torch.allclose(network(images), modules(images), atol=1e-6)
    expected = Captum(modules).attribute(images.clone().requires_grad_(), labels)
    found = GuidedBackprop().attributions(network, images, labels)
    assert torch.allclose(found, expected, atol=1e-6)
    assert (found - Gradient().attributions(modules, images, labels)).abs().max() > 0.01


@pytest.mark.parametrize("name", ["resnet18", "inception_v3", "densenet121"])
def test_networks_with_repeated_and_functional_relus(name):
    """The guided gradient, made by another way: a ReLU with its own backward pass in place of every other."""
    options = {"init_weights": False, "aux_logits": False} if name == "inception_v3" else {}
    network = models.get_model(name, weights=None, **options).eval().double()
    images = torch.rand(2, 3, 80, 80, dtype=torch.float64)
    targets = torch.tensor([3, 5])
    found = GuidedBackprop().attributions(network, images, targets)

    class Guided(torch.autograd.Function):
        @staticmethod
        def forward(context, values):
            context.save_for_backward(values)
            return values.clamp_min(0)

        @staticmethod
        def backward(context, gradient):
            (values,) = context.saved_tensors
            return gradient.clamp_min(0) * (values > 0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functional, "relu", lambda values, inplace=False: Guided.apply(values))  # noqa: ARG005
        point = images.clone().requires_grad_()
        (expected,) = torch.autograd.grad(network(point)[[0, 1], targets].sum(), point)
    assert torch.allclose(found, expected, atol=1e-9 * float(expected.abs().max()))


OTHERS = {
    "gelu": nn.GELU(),
    "hardtanh|relu6": nn.ReLU6(),
    "softplus": nn.Softplus(),
    "hardtanh": nn.Hardtanh(0, 1),
    "leaky_relu": nn.LeakyReLU(),
    "prelu": nn.PReLU(),
    "silu": nn.SiLU(),
    "hardswish": nn.Hardswish(),
    "elu": nn.ELU(),
    "threshold": nn.Threshold(0.1, 0),
}


@pytest.mark.parametrize(("name", "activation"), OTHERS.items(), ids=OTHERS)
def test_other_rectifiers_are_refused_also_beside_relus(name, activation, images):
    for network in (Functional(activation), nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), Functional(activation))):
        with pytest.raises(ValueError, match=f"but this one uses ({name}): use another saliency method"):
            GuidedBackprop()(network, images)


@pytest.mark.parametrize("activation", [nn.Tanh(), nn.Identity()], ids=repr)
def test_a_network_without_relu_is_refused_and_never_gets_the_plain_gradient(activation, images):
    with pytest.raises(ValueError, match="but none is seen on the image's way: use another"):
        GuidedBackprop()(Functional(activation), images)


def test_relus_that_the_image_does_not_pass_do_not_count(images):
    class Biased(Functional):
        """A ReLU makes its bias, as in the relative positions of Swin Transformer V2."""

        def __init__(self) -> None:
            super().__init__(torch.tanh)
            self.bias = nn.Parameter(torch.randn(4))

        def forward(self, batch):
            return super().forward(batch) + self.bias.relu()

    network = Biased()
    with pytest.raises(ValueError, match="none is seen on the image's way"):
        GuidedBackprop()(network, images)
    assert network.bias.requires_grad


def test_which_parameters_learn_is_as_before_also_after_an_exception(images):
    network = Functional(nn.ReLU())
    network.first.weight.requires_grad_(requires_grad=False)
    before = [weight.requires_grad for weight in network.parameters()]
    GuidedBackprop()(network, images)
    assert [weight.requires_grad for weight in network.parameters()] == before
    with pytest.raises(ValueError, match="uses gelu"):
        GuidedBackprop()(nn.Sequential(nn.Conv2d(1, 1, 1), Functional(nn.GELU())), images)
    assert [weight.requires_grad for weight in network.parameters()] == before


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_scripted_network_is_refused(images):
    network = torch.jit.trace(Functional(functional.relu), images)
    with pytest.raises(ValueError, match="none is seen on the image's way"):
        GuidedBackprop()(network, images)


def test_a_clamp_that_is_no_relu_is_left_alone(images):
    clamps = [lambda v: v.clamp(min=0.1), lambda v: v.clamp(0, 1), lambda v: torch.clamp(v, max=0)]
    for clamp in clamps:
        assert len(SeparateReLUs(Functional(clamp), images[:1]).rectifiers) == 0


def test_a_network_that_takes_another_way_is_refused(images):
    class Branching(Functional):
        def forward(self, batch):
            return super().forward(batch.relu() if len(batch) > 1 else batch)

    with pytest.raises(ValueError, match="calls more ReLUs on some images than on others"):
        GuidedBackprop()(Branching(functional.relu), images)
