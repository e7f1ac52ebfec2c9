"""An attack that changes no pixel in a flat area, where detectors of an image's statistics see any change."""

from dataclasses import dataclass, replace
from typing import Final

from torch import Tensor
from torch.nn.functional import max_pool2d

from attacks.base import MostPasses
from attacks.problem import Problem
from attacks.white_box.remedy import Remedy

_FLAT: Final = 1.5 / 255
"""Between one and two levels of an image file of 8 bits."""


@dataclass(frozen=True, kw_only=True)
class Textured(Remedy):
    """Run an attack on those pixels alone whose 3 x 3 neighbours differ by two levels of 8 bits or more in a channel.

    A step that follows the sign of the gradient moves every pixel. Where an image is flat, as the background of a
    digit, the least change stands out: a score of local statistics jumps, and its gradient does not lead back. Within
    the other pixels the same walk finds images that are misclassified and accepted. An image without a flat area is
    attacked everywhere, and a flat image not at all.

    Reference: this project's. That a change hides in texture is known from steganography, as in Holub & Fridrich,
    "Designing Steganographic Distortion Using Directional Filters", IEEE WIFS 2012.
    """

    def most_passes(self, classes: int) -> MostPasses | None:
        """Return the most passes for an image; see `Attack.most_passes`."""
        return self.attack.most_passes(classes)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        region = textured(problem.images)
        if problem.region is not None:
            region &= problem.region
        return self.attack.perturb(replace(problem, region=region))


def textured(images: Tensor) -> Tensor:
    """Return which pixels of images (N, C, H, W) in [0, 1] lie in no flat area, (N, 1, H, W) bool."""
    highest, lowest = max_pool2d(images, 3, 1, 1), -max_pool2d(-images, 3, 1, 1)
    return (highest - lowest > _FLAT).any(1, keepdim=True)
