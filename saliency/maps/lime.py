"""LIME: a linear model of what hiding superpixels does to a class' probability."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attacks.checks import above_zero, at_least, one_of
from attacks.errors import OutputError
from attacks.problem import Problem
from saliency.maps.base import SaliencyMethod
from saliency.regions import SEGMENTERS, Segmenter, superpixels


@dataclass(frozen=True, kw_only=True)
class LIME(SaliencyMethod):
    """Each superpixel's weight in a ridge regression of the class' probability on which superpixels are seen.

    Hidden superpixels show their mean colour. Defaults are those of LIME's authors (whose sample also holds the image
    itself); Captum's own (Lasso, kernel width 1) differ. With few samples a map is mostly noise: on CIFAR-10 two maps
    of one image with other draws correlate by about .3 at 150 samples, and .45 at 1000.

    Args:
        samples: Hidden copies of each image.
        kernel_width: Width, above 0, of the exponential kernel on the cosine distance of the seen superpixels to all.
        alpha: L2 penalty of the ridge regression, at least 0.
        segmenter: quickshift (the authors'), slic, or auto: quickshift from 224 pixels on, where it is fine enough.
        segments: About how many superpixels slic makes.

    Reference: Ribeiro, Singh, Guestrin, "Why Should I Trust You?", arXiv 1602.04938. By Captum, superpixels by
    scikit-image.
    """

    samples: int = 1000
    kernel_width: float = 0.25
    alpha: float = 1.0
    segmenter: Segmenter = "auto"
    segments: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, samples=self.samples, segments=self.segments)
        at_least(0, alpha=self.alpha)
        above_zero(kernel_width=self.kernel_width)
        one_of(SEGMENTERS, segmenter=self.segmenter)

    def superpixels(self, images: Tensor) -> Tensor:
        """Return the superpixel (N, H, W) that each pixel of images (N, C, H, W) belongs to, numbered from 0."""
        return superpixels(images, self.segmenter, self.segments)

    def attribute(self, problem: Problem) -> Tensor:
        """Return the weights, (N, 1, H, W), with sign; see `SaliencyMethod.attribute`."""
        from captum._utils.models.linear_model import SkLearnRidge  # noqa: PLC0415
        from captum.attr import Lime  # noqa: PLC0415

        surrogate = Lime(_Softmax(problem.model), SkLearnRidge(alpha=self.alpha), self._similarity)
        maps = []
        segments = self.superpixels(problem.images)
        for image, target, where, generator in zip(
            problem.images, problem.labels, segments, problem.generators(), strict=True
        ):
            with torch.random.fork_rng([]), torch.no_grad():
                torch.default_generator.manual_seed(generator.initial_seed())  # Captum draws from it, on the CPU
                weights = surrogate.attribute(
                    image[None],
                    mean_colours(image, where)[None],
                    int(target),
                    feature_mask=where[None, None],
                    n_samples=self.samples,
                    perturbations_per_eval=problem.together(),
                    return_input_shape=False,
                )
            maps.append(weights.flatten().to(image)[where][None])
        return torch.stack(maps)

    def _similarity(self, _image: Tensor, _hidden: Tensor, seen: Tensor, **_: Any) -> Tensor:
        """Return the weight of a copy by its seen superpixels (1, S) of 0 and 1."""
        cosine = seen.float().mean().sqrt()  # of the copy's vector and that of ones
        return torch.exp(-((1 - cosine) ** 2) / (2 * self.kernel_width**2))


class _Softmax(nn.Module):
    """A model's probabilities."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Return the softmax (N, K) of finite logits."""
        logits: Tensor = self.model(images)
        if not logits.isfinite().all():
            msg = "LIME would give maps that are not finite: check the model's logits and weights"
            raise OutputError(msg)
        return logits.softmax(1)


def mean_colours(image: Tensor, segments: Tensor) -> Tensor:
    """Return an image (C, H, W) in which each superpixel, by `segments` (H, W) from 0 on, has its mean colour."""
    where, pixels = segments.flatten(), image.flatten(1)
    count = torch.bincount(where)
    sums = pixels.new_zeros(len(image), len(count)).index_add_(1, where, pixels)
    return (sums / count.clamp_min(1))[:, where].view_as(image)
