"""The networks of the learnt saliency model: encoder, class selector, U-Net decoder. Pure torch.

Reference: Dabkowski & Gal, "Real Time Image Saliency for Black Box Classifiers", NeurIPS 2017 (arXiv 1705.07857),
section 4; channels and block sizes as in the authors' code.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_SMALLEST = 1e-8
"""Keeps the mask at 0 where both channels of the head are exactly 0."""


def _convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Return convolution, batch norm and ReLU; the size changes by the stride only."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class EncoderNetwork(nn.Module):
    """Four scales of three convolutions each, then global average pooling and a linear layer.

    `channels` are the images'; the first scale has `width`, the others 2, 4 and 8 times as many.
    """

    def __init__(self, channels: int, classes: int, width: int) -> None:
        super().__init__()
        sizes = [channels, width, 2 * width, 4 * width, 8 * width]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                _convolution(inputs, outputs, stride=1 if scale == 0 else 2),
                _convolution(outputs, outputs),
                _convolution(outputs, outputs),
            )
            for scale, (inputs, outputs) in enumerate(pairwise(sizes))
        )
        self.linear = nn.Linear(sizes[-1], classes)

    def scales(self, images: Tensor) -> list[Tensor]:
        """Return the features (N, width * 2^i, about H / 2^i, about W / 2^i), i = 0..3, of images in [0, 1]."""
        features, current = [], 2 * images - 1
        for block in self.blocks:
            current = block(current)
            features.append(current)
        return features

    def classify(self, scales: Sequence[Tensor]) -> Tensor:
        """Return logits (N, K) of the deepest scale."""
        logits: Tensor = self.linear(scales[-1].mean((2, 3)))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K) of images (N, C, H, W) in [0, 1]."""
        return self.classify(self.scales(images))


class ClassSelector(nn.Module):
    """Gates the deepest features, of so many channels, by how well they match an embedding of the class."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, channels)
        nn.init.normal_(self.embedding.weight, std=channels**-0.5)

    def forward(self, features: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features (N, D, h, w) gated by classes (N,), and the logit (N,) of "it exists in the image".

        The two logits of the authors' code are minus and plus half of it.
        """
        match = torch.einsum("ndhw,nd->nhw", features, self.embedding(classes))
        return features * match.sigmoid().unsqueeze(1), match.mean((1, 2))


class UpsamplingBlock(nn.Module):
    """Doubles the size by pixel shuffle, adds the skip connection, and mixes them in a residual bottleneck.

    `inputs`, `skip` and `outputs` are the channels from below, of the skip connection, and returned.
    """

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.upsample = nn.Sequential(_convolution(inputs, 4 * outputs), nn.PixelShuffle(2))
        narrow = max(outputs // 4, 1)
        self.bottleneck = nn.Sequential(
            _convolution(outputs + skip, narrow, kernel=1),
            _convolution(narrow, narrow),
            nn.Conv2d(narrow, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.projection = nn.Sequential(nn.Conv2d(outputs + skip, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, below: Tensor, skip: Tensor) -> Tensor:
        """Return (N, outputs, h, w) of the skip's size; odd sizes are cropped."""
        height, width = skip.shape[2:]
        above = self.upsample(below)[:, :, :height, :width]
        both = torch.cat([above, skip], 1)
        mixed: Tensor = self.bottleneck(both) + self.projection(both)
        return functional.relu(mixed)


class MaskDecoder(nn.Module):
    """The U-Net's way up, and the mask head; `width` as of the encoder."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            UpsamplingBlock(2 * outputs, outputs, outputs) for outputs in (4 * width, 2 * width, width)
        )
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, scales: Sequence[Tensor]) -> Tensor:
        """Return masks (N, 1, H, W) in [0, 1] of the four scales, the deepest one gated by the selector."""
        *skips, current = scales
        for block, skip in zip(self.blocks, reversed(skips), strict=True):
            current = block(current, skip)
        kept, dropped = self.head(current).abs().split(1, 1)
        masks: Tensor = kept / (kept + dropped + _SMALLEST)
        return masks
