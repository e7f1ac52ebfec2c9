"""A detector that sees the edges of an image."""

import torch
from torch import Tensor

from detectors import Classifier, Detector


class Edges(Detector):
    """Sees how much neighbouring pixels differ: attacks with a budget per pixel leave edges where there were none.

    Args:
        classifier: The attacked classifier, or the path of its checkpoint.
        reach: Pixels to the right and below that a pixel is compared with, at least 1.
    """

    def __init__(self, classifier: str | Classifier, reach: int = 1) -> None:
        super().__init__(classifier, channels=2)
        self.reach = reach

    def represent(self, images: Tensor, logits: Tensor | None = None) -> Tensor:  # noqa: ARG002 - edges need no class
        """Return the differences to the right and below, (N, 2, H, W) in [0, 1], of images (N, C, H, W) in [0, 1]."""
        shifted = torch.stack([images.roll(-self.reach, dimension) for dimension in (-1, -2)], 1)
        return (images.unsqueeze(1) - shifted).abs().mean(2)
