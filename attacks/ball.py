"""The ball that a perturbation stays in, and what a step, a projection and a random point are there."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.norms import column, project_l2, project_linf, unit
from attacks.problem import Problem, drawn

NORMS = ("linf", "l2")


@dataclass(frozen=True)
class Ball:
    """All images within a distance.

    Attributes:
        epsilon: The radius, at least 0, in units of the image range.
        norm: linf or l2.
    """

    epsilon: float
    norm: str = "linf"

    def project(self, adversarial: Tensor, images: Tensor) -> Tensor:
        """Return points (N, C, H, W) brought back into the ball around images and into [0, 1]."""
        project = project_linf if self.norm == "linf" else project_l2
        return project(adversarial, images, self.epsilon)

    def direction(self, gradient: Tensor) -> Tensor:
        """Return the steepest direction (N, C, H, W) of length 1 in the norm; 0 where there is no gradient."""
        return gradient.sign() if self.norm == "linf" else unit(gradient)

    def random(self, problem: Problem, generators: list[torch.Generator]) -> Tensor:
        """Return a point of each image's ball, uniformly drawn by its generator, then cut to the region and [0, 1]."""
        images = problem.images
        if self.norm == "linf":
            change = self.epsilon * (2 * drawn(generators, *images.shape[1:], dtype=images.dtype) - 1)
        else:
            directions = drawn(generators, *images.shape[1:], dtype=images.dtype, draw=torch.randn)
            radii = self.epsilon * drawn(generators, dtype=images.dtype) ** (1 / images.shape[1:].numel())
            change = unit(directions) * column(radii)
        return (images + problem.within_region(change.to(images.device))).clamp(0, 1)
