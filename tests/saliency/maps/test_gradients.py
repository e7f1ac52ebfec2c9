import pytest
import torch
from captum.attr import NoiseTunnel, Saliency
from torch import nn

from saliency import Gradient, GradientTimesInput, IntegratedGradients, Jacobian, SmoothGrad


def test_on_a_linear_classifier_every_gradient_is_its_weights(linear, images, labels):
    weights = linear[1].weight[labels].view_as(images).detach()
    smooth = SmoothGrad(samples=4)
    for method in (Gradient(), smooth):
        assert torch.allclose(method.attributions(linear, images, labels), weights, atol=1e-6)
    squared = SmoothGrad(samples=4, square=True).attributions(linear, images, labels)
    assert torch.allclose(squared, weights.square(), atol=1e-6)
    assert torch.allclose(GradientTimesInput().attributions(linear, images, labels), weights * images, atol=1e-6)


@pytest.mark.parametrize("baseline", [0.0, 0.5])
def test_integrated_gradients_add_up_to_the_difference_of_the_logits(baseline, images, labels):
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Softplus(), nn.Flatten(), nn.Linear(300, 4)).double()
    images = images.double()
    found = IntegratedGradients(steps=50, baseline=baseline).attributions(model, images, labels).sum((1, 2, 3))
    rows = torch.arange(8)
    expected = model(images)[rows, labels] - model(torch.full_like(images, baseline))[rows, labels]
    assert torch.allclose(found, expected, atol=1e-6)


def test_smoothgrad_without_noise_is_the_gradient(classifier, images, labels):
    plain = Gradient().attributions(classifier, images, labels)
    assert torch.allclose(SmoothGrad(samples=2, sigma=0).attributions(classifier, images, labels), plain, atol=1e-6)


@pytest.mark.slow
def test_smoothgrad_is_captums_tunnel_on_average(images):
    model = nn.Sequential(nn.Flatten(), nn.Linear(144, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    with torch.no_grad():
        model[1].weight.mul_(4)  # so that the gradient changes within the noise
    image = images[:1].double()
    spread = 0.5 * float(image.max() - image.min())
    tunnel = NoiseTunnel(Saliency(model)).attribute(image, nt_samples=3000, stdevs=spread, target=1, abs=False)
    target = torch.tensor([1])
    found = SmoothGrad(samples=3000, sigma=0.5).attributions(model, image, target)
    assert (found - tunnel).norm() < 0.05 * tunnel.norm()
    assert (found - Gradient().attributions(model, image, target)).norm() > 0.2 * tunnel.norm()


def test_the_noise_is_a_share_of_the_images_own_range(linear, images):
    seen = []

    class Watched(nn.Module):
        def forward(self, batch):
            seen.append(batch.detach().clone())
            return linear(batch)

    image = images[:1] * 0.25
    SmoothGrad(samples=50, sigma=0.4).attributions(Watched(), image, torch.zeros(1, dtype=torch.long))
    noise = torch.cat(seen) - image
    assert noise.std().item() == pytest.approx(0.4 * float(image.max() - image.min()), rel=0.03)


def test_the_jacobian_reads_all_logits(linear, images):
    weights = linear[1].weight.sum(0).detach().view(1, 1, 12, 12).expand(8, -1, -1, -1)
    assert torch.allclose(Jacobian().attributions(linear, images), weights, atol=1e-6)


@pytest.mark.parametrize(
    ("method", "arguments", "told"),
    [
        (SmoothGrad, {"samples": 0}, "samples must be at least 1, got 0"),
        (SmoothGrad, {"sigma": -0.1}, "sigma must be finite and at least 0, got -0.1"),
        (IntegratedGradients, {"steps": 2.5}, "steps must be a whole number, got 2.5"),
        (IntegratedGradients, {"baseline": 1.5}, "baseline must be at most 1, got 1.5"),
    ],
)
def test_numbers_out_of_range_are_refused(method, arguments, told):
    with pytest.raises(ValueError, match=told):
        method(**arguments)
