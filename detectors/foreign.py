"""Networks from elsewhere, adapted to images in [0, 1], with weights from files."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from attacks.checks import at_least, given
from attacks.errors import InputError
from detectors.logits import logits_of
from detectors.networks import Normalize
from saliency.checkpoints import Portable, read_tensors, refuse_named
from saliency.files import expanded

_NESTED = ("state_dict", "model")
"""Keys under which a file may keep the weights."""

_PREFIXES = ("", "model.", "network.", "module.")
"""What LightningModule and DataParallel put before the names of weights."""


class ForeignNetwork(Portable):
    """Normalisation, an optional resize, then a network from elsewhere.

    A subclass builds the network and calls this constructor. Checkpoints hold the weights; their file is read once.

    Args:
        model: Returns logits (N, K) of normalised images, as `logits_of` reads them.
        mean: Subtracted from the images by the first layer: one number, or one per channel.
        std: Divided by, after that.
        size: Side in pixels that the images are scaled to; None: as they are.
        weights: Where the weights came from.
        untrained: A sentence that names the layer without loaded weights, which must be trained: a warning; None: there
            is none.

    Raises:
        ValueError: If the size is below 1.
    """

    def __init__(
        self,
        model: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        size: int | None,
        weights: str | None,
        untrained: str | None = None,
    ) -> None:
        super().__init__()
        at_least(1, whole=True, **given(size=size))
        self.mean = mean
        self.std = std
        self.size = size
        self.weights = weights
        self.normalize = Normalize(mean, std)
        self.model = model
        self.untrained = untrained
        if untrained:
            warnings.warn(f"{untrained}; train it", stacklevel=3)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, K) of images (N, C, H, W) in [0, 1]."""
        images = self.normalize(images)
        if self.size is not None:
            images = functional.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)
        return logits_of(self.model(images))

    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments, without the place that the weights came from."""
        return super().arguments() | {"weights": None}


def in_colour(images: Tensor) -> Tensor:
    """Return images (N, 1 or 3, H, W) with three channels: grey ones are repeated."""
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def read_weights(path: str | Path, model: nn.Module) -> dict[str, Any]:
    """Return the weights in a file under the names of a model.

    The file is a state_dict, or a dict that has it under `state_dict` or `model`, as Lightning's checkpoints. Where
    names begin with `model.`, `network.` or `module.`, other entries are left out.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, or holds more than tensors and plain values, or no state_dict.
    """
    refuse_named(path)
    path = Path(expanded(path))
    if not path.is_file():
        msg = f"there is no file of weights {path}: give the path of a state_dict that torch.save wrote"
        raise FileNotFoundError(msg)
    advice = "write it with torch.save(model.state_dict(), path)"
    contents = read_tensors(path, f"{path} is damaged, or holds more than tensors and plain values: {advice}")
    weights = next((contents[key] for key in _NESTED if _is_nested(contents, key)), contents)
    if not isinstance(weights, dict) or not any(isinstance(value, Tensor) for value in weights.values()):
        msg = f"{path} holds no state_dict, neither itself nor under {' or '.join(_NESTED)}: {advice}"
        raise InputError(msg)
    names = model.state_dict().keys()
    prefix = max(_PREFIXES, key=lambda prefix: sum(prefix + name in weights for name in names))
    if not prefix:
        return weights  # with the versions of its layers, an attribute of the dict
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}


def fill(model: nn.Module, weights: dict[str, Any], source: str | Path, spare: str | None = None) -> None:
    """Load a state_dict from a source, which the error names, into a model; the layer `spare` may be missing there.

    Raises:
        ValueError: If they do not fit; names the first difference.
    """
    try:
        missing, unexpected = model.load_state_dict(weights, strict=False)
    except (RuntimeError, ValueError) as error:
        *_, difference = str(error).splitlines()[:2]  # the first line only says that there are some
    else:
        missing = [name for name in missing if spare is None or not name.startswith(f"{spare}.")]
        if not missing and not unexpected:
            return
        difference = f"{missing[0]} is missing there" if missing else f"{unexpected[0]} is not in the network"
    msg = (
        f"the weights in {source} do not fit this {type(model).__name__} ({difference.strip()}): "
        "build the network as it was when they were saved"
    )
    raise InputError(msg)


def fill_to_last(model: nn.Module, weights: dict[str, Any], source: str | Path, name: str) -> str | None:
    """Load a state_dict into a network, its last layer too if that has as many outputs there.

    Returns:
        A sentence that says why the last layer keeps its initial weights; None if it does not.

    Raises:
        ValueError: If the other layers do not fit; names the first difference.
    """
    *_, last = (key for key, layer in model.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d))
    there, own = weights.get(f"{last}.weight"), model.get_parameter(f"{last}.weight")
    if there is not None and len(there) == len(own):
        fill(model, weights, source)
        return None
    fill(model, {key: value for key, value in weights.items() if not key.startswith(f"{last}.")}, source, spare=last)
    outputs = "none" if there is None else f"one of {len(there)}"
    return f"the last layer {last} of {name} has its initial weights: it has {len(own)} outputs, and {source} {outputs}"


def _is_nested(contents: Any, key: str) -> bool:
    return isinstance(contents, dict) and isinstance(contents.get(key), dict)
