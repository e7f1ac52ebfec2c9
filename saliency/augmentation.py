"""Random changes of training images."""

from typing import Literal

import torch
from torch import Generator, Tensor
from torch.nn import functional

Augmentation = Literal["none", "shift", "shift-flip"]


def augmented(images: Tensor, augmentation: Augmentation, generator: Generator) -> Tensor:
    """Return the images, each moved at random by up to an eighth of its sides and, if asked, mirrored or not.

    Moved by 4 of 32 pixels and mirrored is what residual networks are trained with on CIFAR-10. What a move uncovers
    shows the image's own reflection, so that all values stay in the range of the images.

    Args:
        images: (N, C, H, W), H and W from 2 on.
        augmentation: none, shift, or shift-flip: half of the images are mirrored left to right too. For classes that a
            mirror keeps: not for digits.
        generator: Source of randomness, on the device of the images.

    Reference: He et al., arXiv 1512.03385, section 4.2.
    """
    if augmentation == "none":
        return images
    count, _, *sides = images.shape
    margins = [max(1, side // 8) for side in sides]
    padded = functional.pad(images, (margins[1], margins[1], margins[0], margins[0]), mode="reflect")

    def draws(below: int) -> Tensor:
        return torch.randint(below, (count, 1), generator=generator, device=images.device)

    rows, columns = (
        torch.arange(side, device=images.device) + draws(2 * margin + 1)
        for side, margin in zip(sides, margins, strict=True)
    )
    if augmentation == "shift-flip":
        columns = torch.where(draws(2) == 1, columns.flip(1), columns)
    places = torch.arange(count, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[places, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
