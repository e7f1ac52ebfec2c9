"""A random map, the control."""

from dataclasses import dataclass

from torch import Tensor

from attacks.problem import Problem, drawn
from saliency.maps.base import SaliencyMethod


@dataclass(frozen=True, kw_only=True)
class Random(SaliencyMethod):
    """Uniform noise in [0, 1), drawn for each image on its own: every map must do better."""

    of_class = False

    def attribute(self, problem: Problem) -> Tensor:
        """Return the noise, (N, 1, H, W); see `SaliencyMethod.attribute`."""
        return drawn(problem.generators(), 1, *problem.images.shape[2:]).to(problem.images)
