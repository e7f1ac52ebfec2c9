import pytest
import torch
from torch import nn

from saliency import jacobian

READOUTS = ("sum", "predicted", "margin")
EVERY_READOUT = pytest.mark.parametrize("readout", READOUTS)


def _network(activation):
    return nn.Sequential(nn.Conv2d(1, 3, 3), activation, nn.Flatten(), nn.Linear(300, 8), activation, nn.Linear(8, 4))


@EVERY_READOUT
def test_gradient_of_a_linear_model_is_made_of_its_weights(readout, linear, images):
    weights = linear[1].weight.detach()
    ranked = linear(images).argsort(1, descending=True)
    best, second = weights[ranked[:, 0]], weights[ranked[:, 1]]
    expected = {"sum": weights.sum(0).expand(8, -1), "predicted": best, "margin": best - second}[readout]
    gradient = jacobian(linear, images, readout)
    assert gradient.shape == images.shape
    assert torch.allclose(gradient.flatten(1), expected, atol=1e-6)


@EVERY_READOUT
def test_gradient_agrees_with_finite_differences(readout, images):
    model = _network(nn.Softplus()).double()
    images = images[:2].double()
    step = 1e-5 * torch.randn_like(images)

    def value(given):
        best = model(given).topk(2, 1).values
        return {"sum": model(given).sum(1), "predicted": best[:, 0], "margin": best[:, 0] - best[:, 1]}[readout]

    change = value(images + step) - value(images - step)
    slope = 2 * (jacobian(model, images, readout) * step).sum((1, 2, 3))
    assert torch.allclose(change, slope, rtol=1e-4, atol=1e-12)


@EVERY_READOUT
def test_result_is_detached_where_the_images_need_no_gradient(readout, linear, images):
    assert not jacobian(linear, images, readout).requires_grad
    assert not images.requires_grad


@pytest.mark.parametrize("activation", [nn.Softplus(), nn.Tanh()], ids=["softplus", "tanh"])
@EVERY_READOUT
def test_second_derivative_of_a_smooth_network_is_not_zero(activation, readout, images):
    images.requires_grad_()
    gradient = jacobian(_network(activation), images, readout)
    (second,) = torch.autograd.grad(gradient.square().sum(), images)
    assert second.abs().sum() > 1e-6


@EVERY_READOUT
def test_second_derivative_of_a_relu_network_is_exactly_zero(readout, images):
    images.requires_grad_()
    gradient = jacobian(_network(nn.ReLU()), images, readout)
    (second,) = torch.autograd.grad(gradient.square().sum(), images, materialize_grads=True)
    assert gradient.abs().sum() > 0
    assert torch.equal(second, torch.zeros_like(second))


@EVERY_READOUT
@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_gradient_is_the_same_without_grad_and_in_inference_mode(readout, mode, images):
    model = _network(nn.ReLU())
    expected = jacobian(model, images, readout)
    with mode():
        assert torch.equal(jacobian(model, images.clone(), readout), expected)


def test_no_gradient_is_left_on_parameters_or_images(images):
    model = _network(nn.Softplus())
    images.requires_grad_()
    jacobian(model, images)
    jacobian(model, images.detach())
    assert images.grad is None
    assert all(parameter.grad is None for parameter in model.parameters())


def test_images_are_left_unchanged(linear, images):
    before = images.clone()
    jacobian(linear, images)
    assert torch.equal(images, before)


@EVERY_READOUT
def test_known_logits_save_the_forward_pass(readout, images):
    model = _network(nn.Softplus())
    expected = jacobian(model, images, readout)
    images.requires_grad_()
    logits = model(images)
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    assert torch.allclose(jacobian(model, images, readout, logits), expected)
    assert not calls


@EVERY_READOUT
def test_logits_without_a_graph_are_computed_again(readout, images):
    model = _network(nn.Softplus())
    with torch.no_grad():
        logits = model(images)
    expected = jacobian(model, images, readout)
    assert torch.equal(jacobian(model, images, readout, logits), expected)
    assert torch.equal(jacobian(model, images.requires_grad_(), readout, logits), expected)


@EVERY_READOUT
def test_batch_of_n_equals_n_batches_of_one(readout, images):
    model = _network(nn.Softplus())
    alone = torch.cat([jacobian(model, image[None], readout) for image in images])
    assert torch.allclose(jacobian(model, images, readout), alone, atol=1e-6)


def test_frozen_networks_are_differentiated_as_well(images):
    model = _network(nn.Softplus())
    expected = jacobian(model, images)
    assert torch.equal(jacobian(model.requires_grad_(requires_grad=False), images), expected)


@pytest.mark.parametrize("requires_grad", [False, True])
def test_a_network_that_writes_on_its_input_has_the_jacobian_of_any_other(requires_grad, twins, images):
    images = images.double().requires_grad_(requires_grad)
    before = images.detach().clone()
    found, expected = (jacobian(model.network, images, "predicted") for model in twins)
    assert torch.allclose(found, expected)
    assert torch.equal(images, before)


@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("learns", [False, True])
def test_a_network_that_passes_no_gradient_has_no_jacobian(requires_grad, learns, linear, images):
    linear.requires_grad_(learns)
    with pytest.raises(ValueError, match=r"no gradient leads from the logits to the images .* there is no Jacobian"):
        jacobian(lambda batch: linear(batch.detach()), images.requires_grad_(requires_grad))
