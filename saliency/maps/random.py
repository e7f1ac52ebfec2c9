"""A map that knows nothing of the image."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.problem import Problem
from saliency.maps.base import SaliencyMethod


@dataclass(frozen=True, kw_only=True)
class Random(SaliencyMethod):
    """Uniform noise in [0, 1), drawn for each image on its own: what every map must beat."""

    of_class = False

    def attribute(self, problem: Problem) -> Tensor:
        """Return the noise, (N, 1, H, W); see `SaliencyMethod.attribute`."""
        size = problem.images.shape[2:]
        noise = [torch.rand(1, *size, generator=generator) for generator in problem.generators()]
        return torch.stack(noise).to(problem.images)
