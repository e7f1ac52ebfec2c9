"""The paper's family of convolutional networks."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from attacks.checks import at_least
from attacks.errors import InputError
from saliency.checkpoints import Portable


class ConvNet(Portable):
    """The network of Schut & Gal: blocks of two 3x3 convolutions and a max pooling, then two dense layers.

    The first convolution of a block keeps the size, the second one shortens it by 2; ReLU after each; the hidden dense
    layer has 128 values and no activation. With `widths=(32, 64, 128)` and 3x32x32 images it is the authors' CIFAR-10
    network: 353,962 parameters for 10 outputs.

    Args:
        shape: (C, H, W) of the input.
        outputs: Number of outputs.
        widths: Channels of each block; (32, 64) for MNIST, (32, 64, 128) for CIFAR-10, (32, 64, 128, 128) for ASSIRA.
        mean: Subtracted from the input by the first layer: one number, or one per channel.
        std: Divided by, after that.

    Raises:
        ValueError: If the input is too small for so many blocks, or a size is below 1.

    Reference:
        Schut & Gal (2020), appendix A, and the authors' code; initialisation as there: convolutions
        N(0, 1 / fan-in), dense layers Glorot uniform, biases 0.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        outputs: int,
        widths: Sequence[int] = (32, 64),
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
    ) -> None:
        super().__init__()
        self.shape = shape
        self.outputs = outputs
        self.widths = widths
        self.mean = mean
        self.std = std
        channels, height, width = shape
        for name, sizes in {"shape": shape, "widths": widths}.items():
            at_least(1, whole=True, **{f"{name}[{place}]": size for place, size in enumerate(sizes)})
        layers: list[nn.Module] = [Normalize(mean, std)]
        for block in widths:
            layers += [
                nn.Conv2d(channels, block, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(block, block, 3),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            channels, height, width = block, (height - 2) // 2, (width - 2) // 2
        if min(height, width) < 1:
            msg = f"images {tuple(shape)} are too small for the {len(widths)} blocks of widths={tuple(widths)}"
            raise InputError(msg)
        layers += [nn.Flatten(), nn.Linear(channels * height * width, 128), nn.Linear(128, outputs)]
        self.layers = nn.Sequential(*layers)
        self.layers.apply(_initialise)  # in the usual layout: in another, the same seed draws other weights
        self.layers.to(memory_format=torch.channels_last)  # faster, above all the pooling

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, outputs) of (N, C, H, W)."""
        outputs: Tensor = self.layers(images)
        return outputs


class Normalize(nn.Module):
    """The first layer of a classifier, so that everything else sees images in [0, 1].

    Args:
        mean: Subtracted, one number or one per channel.
        std: Divided by, one number or one per channel.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(list(mean), dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(list(std), dtype=torch.float32).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return (images - mean) / std, (N, C, H, W)."""
        return (images - self.mean) / self.std


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)
    elif isinstance(layer, nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
    else:
        return
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
