"""Maps made of the gradient of a class' logit with respect to the image."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.checks import at_least, at_most
from attacks.problem import Problem, drawn
from saliency.jacobian import Readout, jacobian
from saliency.maps.base import SaliencyMethod
from saliency.maps.reduction import Reduction


@dataclass(frozen=True, kw_only=True)
class Gradient(SaliencyMethod):
    """Classic saliency: the gradient of the class' logit; the map is its largest absolute value over the channels.

    Reference: Simonyan, Vedaldi, Zisserman, "Deep Inside Convolutional Networks", arXiv 1312.6034. By Captum.
    """

    reduction: Reduction = "max"

    def attribute(self, problem: Problem) -> Tensor:
        """Return the gradient; see `SaliencyMethod.attribute`."""
        return _gradient(problem, problem.images)


@dataclass(frozen=True, kw_only=True)
class GradientTimesInput(SaliencyMethod):
    """The gradient of the class' logit times the image.

    Reference: Shrikumar et al., "Not Just a Black Box", arXiv 1605.01713. By Captum.
    """

    def attribute(self, problem: Problem) -> Tensor:
        """Return the products; see `SaliencyMethod.attribute`."""
        from captum.attr import InputXGradient  # noqa: PLC0415

        maps: Tensor = InputXGradient(problem.model).attribute(problem.images, problem.labels)
        return maps


@dataclass(frozen=True, kw_only=True)
class Jacobian(SaliencyMethod):
    """The gradient of a readout of all logits, which JSD sees; the targets do not matter.

    Args:
        readout: sum, predicted or margin; see `saliency.jacobian`.
    """

    readout: Readout = "sum"
    of_class = False

    def attribute(self, problem: Problem) -> Tensor:
        """Return the gradient; see `SaliencyMethod.attribute`."""
        return jacobian(problem.model, problem.images, self.readout)


@dataclass(frozen=True, kw_only=True)
class SmoothGrad(SaliencyMethod):
    """The mean over noisy copies of the image of the gradient, or of its square.

    Noise is drawn for each image on its own (Captum's tunnel draws it for the batch, so that a map would depend on the
    neighbours); the gradients are Captum's.

    Args:
        samples: Noisy copies of each image.
        sigma: Standard deviation of the noise, as a share of the range of the image's own values.
        square: Whether gradients are squared before they are averaged.

    Reference: Smilkov et al., "SmoothGrad", arXiv 1706.03825; squares: Hooker et al., arXiv 1806.10758. The defaults
    are those of Liu et al. (DETAILS: 10 copies, .15).
    """

    samples: int = 10
    sigma: float = 0.15
    square: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, samples=self.samples)
        at_least(0, sigma=self.sigma)

    def attribute(self, problem: Problem) -> Tensor:
        """Return the mean gradient or square; see `SaliencyMethod.attribute`."""
        low, high = problem.images.amin((1, 2, 3), keepdim=True), problem.images.amax((1, 2, 3), keepdim=True)
        spread = self.sigma * (high - low)
        generators = problem.generators()
        total = torch.zeros_like(problem.images)
        for _ in range(self.samples):
            noise = drawn(generators, *total.shape[1:], draw=torch.randn).to(total)
            gradient = _gradient(problem, problem.images + spread * noise)
            total += gradient.square() if self.square else gradient
        return total / self.samples


@dataclass(frozen=True, kw_only=True)
class IntegratedGradients(SaliencyMethod):
    """The image minus a baseline, times the mean gradient on the straight way between them.

    Args:
        steps: Points of the Gauss-Legendre quadrature on the way.
        baseline: Grey value of the baseline image, in [0, 1].

    Reference: Sundararajan, Taly, Yan, "Axiomatic Attribution for Deep Networks", arXiv 1703.01365. By Captum.
    """

    steps: int = 32
    baseline: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, steps=self.steps)
        at_least(0, baseline=self.baseline)
        at_most(1, baseline=self.baseline)

    def attribute(self, problem: Problem) -> Tensor:
        """Return the integral; see `SaliencyMethod.attribute`."""
        from captum.attr import IntegratedGradients as PathIntegral  # noqa: PLC0415

        baseline, size = torch.full_like(problem.images, self.baseline), len(problem)
        integral = PathIntegral(problem.model).attribute
        maps: Tensor = integral(problem.images, baseline, problem.labels, n_steps=self.steps, internal_batch_size=size)
        return maps


def _gradient(problem: Problem, images: Tensor) -> Tensor:
    """Return the gradient of the targets' logits with respect to images near the problem's own."""
    from captum.attr import Saliency  # noqa: PLC0415

    maps: Tensor = Saliency(problem.model).attribute(images.detach().requires_grad_(), problem.labels, abs=False)
    return maps
