"""The classification networks of torchvision: AlexNet, VGG16, Inception v3, ResNet-18 and the others."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torchvision import models

from attacks.checks import at_least
from attacks.errors import InputError
from detectors.foreign import ForeignNetwork, fill_to_last, in_colour, read_weights
from saliency.checkpoints import refuse_named
from saliency.files import expanded

_WITHOUT_AUXILIARY: Final = {"aux_logits": False, "transform_input": False, "init_weights": True}
_AUXILIARY: Final = {"inception_v3": ("AuxLogits.",), "googlenet": ("aux1.", "aux2.")}
"""The beginnings of the names of weights of auxiliary heads."""

_HALF: Final = (0.5, 0.5, 0.5)
"""Mean and standard deviation of networks ported from TensorFlow, which `transform_input` converts to."""


class TorchvisionNetwork(ForeignNetwork):
    """A classification network of torchvision by its name; grey images are repeated in three channels.

    Auxiliary heads are off. Weights are torchvision's by name, downloaded once, or those of a file. All layers but the
    last must fit. The last layer keeps its initial weights if the number of outputs differs: a warning says so, and a
    fit of no epochs is refused.

    Args:
        name: For example alexnet, vgg16, inception_v3 or resnet18.
        outputs: Number of outputs.
        weights: Name of torchvision's weights, as IMAGENET1K_V1 or DEFAULT; or the path of a state_dict; None: not
            trained.
        size: Side in pixels that the images are scaled to first; None: as they are. Networks were made for 224
            pixels, Inception for 299; AlexNet needs at least 63, VGG 32, Inception 75.
        mean: Subtracted from the images by the first layer, one number or three; None: what the network's published
            weights expect.
        std: Divided by, after that.

    Raises:
        FileNotFoundError: If weights is neither one of torchvision's names nor a file.
        ConnectionError: If weights cannot be downloaded; says what to do without internet.
        ValueError: If there is no such network, the weights do not fit, or outputs or size is below 1.

    Reference:
        https://docs.pytorch.org/vision/stable/models.html
    """

    def __init__(
        self,
        name: str,
        outputs: int,
        weights: str | None = None,
        size: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        _check(name, outputs)
        published = _published(name)
        preset = published[weights if weights in published else "DEFAULT"].transforms()
        default_mean, default_std = (_HALF, _HALF) if name in _AUXILIARY else (preset.mean, preset.std)
        model = models.get_model(name, num_classes=outputs, **(_WITHOUT_AUXILIARY if name in _AUXILIARY else {}))
        untrained = None if weights is None else _load(model, name, weights)
        model.to(memory_format=torch.channels_last)  # for most up to a quarter faster on a CPU
        mean, std = (default_mean if mean is None else mean), (default_std if std is None else std)
        super().__init__(model, mean, std, size, weights, untrained)
        self.name = name
        self.outputs = outputs

    @property
    def categories(self) -> list[str] | None:
        """The names of ImageNet's classes, if it has as many outputs; else None."""
        names: list[str] = _published(self.name)["DEFAULT"].meta["categories"]
        return names if len(names) == self.outputs else None

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, outputs) of images (N, 1 or 3, H, W) in [0, 1]."""
        return super().forward(in_colour(images))


def _check(name: str, outputs: int) -> None:
    names = models.list_models(module=models)
    if name not in names:
        close = difflib.get_close_matches(name.lower(), names, 4)
        meant = f"did you mean {' or '.join(close)}" if close else f"known are {', '.join(names)}"
        msg = f"torchvision has no classification network {name!r}: {meant}"
        raise InputError(msg)
    at_least(1, outputs=outputs)


def _published(name: str) -> dict[str, Any]:
    """Return torchvision's weights of a network by name, without those for features alone."""
    members = models.get_model_weights(name).__members__
    return {key: value for key, value in members.items() if value.meta["categories"]}


def _load(model: nn.Module, name: str, source: str) -> str | None:
    """Load weights by name or from a file; return which layer keeps its initial weights, and why, if one does."""
    weights = _read(model, name, source)
    for key in list(weights):
        if key.startswith(_AUXILIARY.get(name, ())):
            del weights[key]
        elif name.startswith("densenet"):  # torchvision's files have names that modules may no longer have
            weights[re.sub(r"(\.denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key)] = weights.pop(key)
    return fill_to_last(model, weights, source, name)


def _read(model: nn.Module, name: str, source: str) -> dict[str, Any]:
    refuse_named(source)
    published = _published(name)
    if source not in published:
        if Path(expanded(source)).is_file():
            return read_weights(source, model)
        msg = (
            f"weights {source!r} of {name} are neither a file nor one of {', '.join(published)}: give one of these, "
            "the path of a state_dict, or null for none"
        )
        raise FileNotFoundError(msg)
    try:
        options = {"progress": True, "check_hash": True, "map_location": "cpu", "weights_only": True}
        weights: dict[str, Any] = published[source].get_state_dict(**options)
    except Exception as error:  # no internet, a full disk, a damaged file
        msg = (
            f"the weights {source} of {name} cannot be loaded from {published[source].url} ({error}): where there is "
            "no internet, get that file elsewhere, and give its path as weights"
        )
        raise ConnectionError(msg) from error
    return weights
