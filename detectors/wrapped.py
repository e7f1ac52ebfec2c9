"""Any network by its class path, with weights from its own file."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeGuard

from torch import nn

from attacks.errors import InputError, InputTypeError
from detectors.foreign import ForeignNetwork, fill, read_weights
from saliency.checkpoints import pack

_METRICS: Final = "torchmetrics"
"""A package with modules that read or download what their arguments name."""


class WrappedNetwork(ForeignNetwork):
    """A network of any class derived from `torch.nn.Module`.

    A config names the class by its path, and parsing the config imports it. A checkpoint names the class too, but
    imports nothing: import the module that defines the class before `load`.

    Args:
        network: The class, at the top level of its module; its `forward` returns logits (N, K) of images (N, C, H, W),
            or what `logits_of` reads them from.
        options: Arguments of its constructor by name, plain values.
        weights: A file with its weights: a state_dict, or a checkpoint that has one under `state_dict` or `model`, as
            Lightning's; None: those that the constructor gives.
        size: Side in pixels that the images are scaled to first; None: as they are.
        mean: Subtracted from the images by the first layer, one number or one per channel; the default changes nothing.
        std: Divided by, after that.

    Raises:
        FileNotFoundError: If there is no such file.
        TypeError: If network is no class of a network, or an option is no plain value.
        ValueError: If a checkpoint names a class that is not imported, the class does not accept the options, or the
            weights do not fit.
    """

    def __init__(
        self,
        network: type[nn.Module],
        options: Mapping[str, Any] | None = None,
        weights: str | None = None,
        size: int | None = None,
        mean: Sequence[float] = (0.0,),
        std: Sequence[float] = (1.0,),
    ) -> None:
        kind = _imported(network) if isinstance(network, str) else _checked(network)
        pack(options, f"{type(self).__name__}.options")
        try:
            model = kind(**(options or {}))
        except TypeError as error:
            msg = f"{_path(kind)} cannot be built with options={options}: {error}"
            raise InputError(msg) from error
        if weights is not None:
            fill(model, read_weights(weights, model), weights)
        super().__init__(model, mean, std, size, weights)
        self.network = kind
        self.options = options

    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments, the class by its path."""
        return super().arguments() | {"network": _path(self.network)}


def _path(network: type[nn.Module]) -> str:
    return f"{network.__module__}.{network.__qualname__}"


def _checked(network: type[nn.Module]) -> type[nn.Module]:
    """Return a class that a checkpoint can name."""
    if not _is_network(network):
        msg = f"network must be a class derived from torch.nn.Module, got {network!r}"
        raise InputTypeError(msg)
    if _found(_path(network)) != network:
        msg = f"{_path(network)} cannot be found by its path: define the class at the top level of a module"
        raise InputTypeError(msg)
    return network


def _imported(path: str) -> type[nn.Module]:
    """Return the class that a checkpoint names; never imports anything."""
    found = _found(path)
    if getattr(found, "__module__", "").partition(".")[0] == _METRICS:
        msg = f"the network {path} is a metric, which may read or download files: a checkpoint must not name it"
        raise InputError(msg)
    if not _is_network(found):
        msg = (
            f"the network {path} is not known here: import the module that defines it first (for `train.py fit`, "
            "validate, test, predict and `evaluate.py` by --imports '[MODULE]')"
        )
        raise InputError(msg)
    return found


def _is_network(kind: Any) -> TypeGuard[type[nn.Module]]:
    return isinstance(kind, type) and issubclass(kind, nn.Module)


def _found(path: str) -> Any:
    """Return the object at a path in an imported module, whose own `__getattr__` is not called."""
    module, _, name = path.rpartition(".")
    return getattr(sys.modules.get(module), "__dict__", {}).get(name)
