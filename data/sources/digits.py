"""scikit-learn's handwritten digits: real images that need no download."""

import torch
from torch import Tensor
from torch.nn import functional

from data.images import ImageData


class Digits(ImageData):
    """1,797 handwritten digits of 8x8 pixels, resized to 28x28 (bilinear) and rounded to bytes. No download.

    Args:
        root: Not used: the images come with scikit-learn.

    Reference:
        Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI (1998), its test part.
    """

    shape = (1, 28, 28)
    classes = 10

    def read(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return all images; none is marked as test."""
        from sklearn.datasets import load_digits  # noqa: PLC0415 - it takes half a second

        images, labels = load_digits(return_X_y=True)
        small = torch.from_numpy(images).float().view(-1, 1, 8, 8) / 16
        large = functional.interpolate(small, self.shape[1:], mode="bilinear", align_corners=False)
        return (large * 255).round().to(torch.uint8), torch.from_numpy(labels).long(), None
