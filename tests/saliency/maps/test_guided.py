"""Guided backpropagation is right whatever form a network's ReLUs have, or is refused."""

import pytest
import torch
from captum.attr import GuidedBackprop as Captum
from torch import nn
from torch.nn import functional
from torchvision import models

from saliency import Gradient, GuidedBackprop
from saliency.maps.guided import GuidedRectifiers
from tests.saliency.maps.cases import Functional


class Guided(torch.autograd.Function):
    """A rectifier with the guided backward pass, written down once more."""

    @staticmethod
    def forward(context, values, bound):
        context.save_for_backward(values)
        context.bound = bound
        return torch.where(values > 0, values, 0).where(values < bound, bound)

    @staticmethod
    def backward(context, gradient):
        (values,) = context.saved_tensors
        return torch.where((values > 0) & (values < context.bound) & (gradient > 0), gradient, 0), None


def rectifier(bound=torch.inf):
    return lambda values, *_, **__: Guided.apply(values, bound)


def with_rectifier(network, bound=torch.inf):
    """The network with the guided rectifier in place of its own."""
    del network.rectify
    network.rectify = rectifier(bound)
    return network


def guided(network, images, targets):
    """The gradient of the targets' logits, of a network whose rectifiers are guided already."""
    point = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(point).gather(1, targets[:, None]).sum(), point)
    return gradient


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
    "clip": lambda values: torch.clip(values, 0),
    "clip, by keyword": lambda values: torch.clip(input=values, min=0, max=None),
    "maximum": lambda values: torch.maximum(values, torch.zeros(())),
    "maximum, the zero first": lambda values: torch.maximum(torch.zeros(()), values),
    "max": lambda values: torch.max(values, torch.zeros(())),
    "fmax": lambda values: values.fmax(torch.zeros(())),
    "threshold": lambda values: functional.threshold(values, 0, 0),
    "threshold, in place": lambda values: functional.threshold(values, 0, 0, inplace=True),
    "threshold_": lambda values: functional.threshold_(values, 0, 0),
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


BOUND = 0.3
BOUNDED = {
    "hardtanh": lambda values: functional.hardtanh(values, 0, BOUND),
    "hardtanh, by keyword": lambda values: functional.hardtanh(values, max_val=BOUND, min_val=0.0),
    "hardtanh, in place": lambda values: functional.hardtanh(values, 0, BOUND, inplace=True),
    "hardtanh, in place by position": lambda values: functional.hardtanh(values, 0, BOUND, True),  # noqa: FBT003
    "hardtanh_": lambda values: functional.hardtanh_(values, 0, BOUND),
    "nn.Hardtanh": nn.Hardtanh(0, BOUND),
    "nn.Hardtanh, in place": nn.Hardtanh(0, BOUND, inplace=True),
    "relu6": lambda values: functional.relu6(values * (6 / BOUND)) * (BOUND / 6),
    "nn.ReLU6, in place": lambda values: nn.ReLU6(inplace=True)(values * (6 / BOUND)) * (BOUND / 6),
    "clamp": lambda values: values.clamp(0, BOUND),
    "clamp, by keyword": lambda values: torch.clamp(values, max=BOUND, min=0),
    "clamp, tensors": lambda values: values.clamp(torch.tensor(0.0), torch.tensor(BOUND)),
    "clamp_": lambda values: values.clamp_(0, BOUND),
    "clip": lambda values: torch.clip(values, 0, BOUND),
    "clip_": lambda values: torch.clip_(values, min=0.0, max=BOUND),
    "two cuts": lambda values: values.relu().clamp(max=BOUND),
}


@pytest.mark.parametrize("rectify", BOUNDED.values(), ids=BOUNDED)
def test_every_form_of_bounded_relu_has_a_second_mask(rectify, images, labels):
    torch.manual_seed(1)
    network = Functional(rectify)
    found = GuidedBackprop().attributions(network, images, labels)
    expected = guided(with_rectifier(network, BOUND), images, labels)
    assert torch.allclose(found, expected, atol=1e-6)
    assert (expected - guided(with_rectifier(network), images, labels)).abs().max() > 0.01


SKIPPED = {
    "relu": (functional.relu, torch.inf),
    "relu6": (functional.relu6, 6),
    "clamp": (lambda values: values.clamp(0, BOUND), BOUND),
    "module": (nn.ReLU(), torch.inf),
}


@pytest.mark.parametrize(("rectify", "bound"), SKIPPED.values(), ids=SKIPPED)
def test_what_reaches_a_rectifiers_input_by_another_way_is_left_alone(rectify, bound, images, labels):
    class Residual(Functional):
        def forward(self, batch):
            hidden = self.first(batch)
            hidden = hidden - functional.pad(self.second(self.rectify(hidden)), (1, 1, 1, 1))
            return self.last(self.rectify(hidden)[:, :, 1:-1, 1:-1].flatten(1))

    network = Residual(rectify)
    found = GuidedBackprop().attributions(network, images, labels)
    assert torch.allclose(found, guided(with_rectifier(network, bound), images, labels), atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "inception_v3", "densenet121", "mobilenet_v2"])
def test_networks_with_repeated_functional_and_bounded_relus(name, monkeypatch):
    options = {"init_weights": False, "aux_logits": False} if name == "inception_v3" else {}
    network = models.get_model(name, weights=None, **options).eval().double()
    images = torch.rand(2, 3, 80, 80, dtype=torch.float64)
    targets = torch.tensor([3, 5])
    found = GuidedBackprop().attributions(network, images, targets)
    monkeypatch.setattr(functional, "relu", rectifier())
    monkeypatch.setattr(functional, "hardtanh", rectifier(6))  # what nn.ReLU6 calls
    expected = guided(network, images, targets)
    assert expected.any()
    assert torch.allclose(found, expected, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize(("name", "activation"), [("mobilenet_v3_small", "hardswish"), ("efficientnet_b0", "silu")])
def test_networks_of_other_activations_are_refused(name, activation):
    with pytest.raises(ValueError, match=f"this one uses {activation}: use another"):
        GuidedBackprop()(models.get_model(name, weights=None).eval(), torch.rand(1, 3, 32, 32))


OTHERS = {
    "gelu": nn.GELU(),
    "softplus": nn.Softplus(),
    "hardtanh": nn.Hardtanh(-1, 1),
    "leaky_relu": nn.LeakyReLU(),
    "prelu": nn.PReLU(),
    "silu": nn.SiLU(),
    "hardswish": nn.Hardswish(),
    "elu": nn.ELU(),
    "threshold": nn.Threshold(0.1, 0),
    "elu, in place": functional.elu_,
    "celu": torch.celu_,
    "prelu, method": lambda values: values.prelu(torch.tensor(0.2)),
}


@pytest.mark.parametrize(("name", "activation"), OTHERS.items(), ids=OTHERS)
def test_other_rectifiers_are_refused_also_beside_relus(name, activation, images):
    for network in (Functional(activation), nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), Functional(activation))):
        with pytest.raises(
            ValueError, match=f"but this one uses {name.partition(',')[0]}: use another saliency method"
        ):
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
    clamps = [
        lambda v: v.clamp(min=0.1),
        lambda v: v.clamp(-1, 1),
        lambda v: v.clamp(0, 0),
        lambda v: torch.clamp(v, max=0),
        lambda v: torch.maximum(v, torch.ones(())),
        lambda v: v - torch.max(v, 0, keepdim=True).values,
    ]
    for clamp in clamps:
        with GuidedRectifiers() as rectifiers:
            Functional(clamp)(images.requires_grad_())
        assert not rectifiers.found


def test_a_network_may_take_another_way_for_other_images(images, labels):
    class Branching(Functional):
        def forward(self, batch):
            return super().forward(self.rectify(batch - 0.5) if batch.sum() > 60 else batch)

    images, labels = torch.cat([images[:1] / 2, images[:1]]), labels[:2]
    network = Branching(functional.relu)
    found = torch.cat([GuidedBackprop().attributions(network, images[[row]], labels[[row]]) for row in range(2)])
    with_rectifier(network)
    expected = torch.cat([guided(network, images[[row]], labels[[row]]) for row in range(2)])
    assert torch.allclose(found, expected, atol=1e-7)
    assert (found[0] < 0).any()
    assert (found[1] >= 0).all()
