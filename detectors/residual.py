"""A small residual network for small images."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from attacks.checks import at_least
from detectors.networks import Normalize
from saliency.checkpoints import Portable


class ResidualNet(Portable):
    """A residual network for images of about 32 pixels.

    A 3x3 convolution, one residual block of two 3x3 convolutions for each entry of `widths`, the mean over all
    positions, a linear layer. Each block but the first halves the sides. Batch normalisation and ReLU throughout.

    Args:
        outputs: Number of outputs.
        in_channels: Channels of the images.
        widths: Channels of each block, at least one.
        mean: Subtracted from the input by the first layer: one number, or one per channel.
        std: Divided by, after that.

    Raises:
        ValueError: If a size or the number of blocks is below 1.

    Reference:
        He et al., arXiv 1512.03385, section 4.2; a projection, not zeros, where a block changes the number of channels.
    """

    def __init__(
        self,
        outputs: int,
        in_channels: int = 3,
        widths: Sequence[int] = (32, 64, 128),
        mean: Sequence[float] = (0.5,),
        std: Sequence[float] = (0.25,),
    ) -> None:
        super().__init__()
        self.outputs = outputs
        self.in_channels = in_channels
        self.widths = widths
        self.mean = mean
        self.std = std
        at_least(1, whole=True, outputs=outputs, in_channels=in_channels, blocks=len(widths))
        at_least(1, whole=True, **{f"widths[{place}]": width for place, width in enumerate(widths)})
        self.layers = nn.Sequential(
            Normalize(mean, std),
            nn.Conv2d(in_channels, widths[0], 3, padding=1, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
            BasicBlock(widths[0], widths[0]),
            *(_narrower(before, after) for before, after in pairwise(widths)),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(widths[-1], outputs),
        ).to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, outputs) of (N, C, H, W) in [0, 1]."""
        outputs: Tensor = self.layers(images)
        return outputs


def _narrower(channels: int, width: int) -> nn.Module:
    """Return a residual block that halves the sides."""
    projection = nn.Sequential(nn.Conv2d(channels, width, 1, stride=2, bias=False), nn.BatchNorm2d(width))
    block: nn.Module = BasicBlock(channels, width, stride=2, downsample=projection)
    return block
