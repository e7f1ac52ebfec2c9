"""Features of a classifier: the outputs of its layers, read by hooks that are removed after each pass."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from torch import Tensor, nn
from torchmetrics import Metric

from attacks.errors import InputError, unknown

PENULTIMATE: Final = "penultimate"
"""The name of the last linear layer's input."""


class Features(NamedTuple):
    """Logits (N, K), and of each layer its output (N, d), in the order asked."""

    logits: Tensor
    layers: list[Tensor]


def check_layers(network: nn.Module, layers: Sequence[str]) -> None:
    """Refuse layers that a network does not have.

    Raises:
        ValueError: If a name is unknown (lists the layers), or no name is given.
    """
    if not layers:
        msg = f"layers is empty: name at least one, for example [{PENULTIMATE}]"
        raise InputError(msg)
    names = [name for name, module in network.named_modules() if name and not isinstance(module, Metric)]
    for layer in layers:
        if layer == PENULTIMATE:
            last_linear(network)
        elif layer not in names:
            raise InputError(unknown("layer", layer, [PENULTIMATE, *names]))


def pooled_layers(network: nn.Module) -> list[str]:
    """Return the names of a network's pooling layers, each the end of a block, and the penultimate layer."""
    pools = [name for name, module in network.named_modules() if "Pool" in type(module).__name__]
    return [*pools, PENULTIMATE]


def features(network: nn.Module, layers: Sequence[str], images: Tensor, *, pool: bool | None = True) -> Features:
    """Return a network's logits and the features of its layers, from one pass, differentiable in the images.

    Args:
        network: Gives logits (N, K).
        layers: Names of `named_modules`, or `PENULTIMATE`.
        images: (N, C, H, W) in [0, 1].
        pool: Whether feature maps (N, c, h, w) are averaged over their places; else they are flattened. None: outputs
            are left as they are.

    Raises:
        ValueError: If a layer takes no part in the pass, or gives something else than a tensor.
    """
    logits, outputs = _outputs(network, layers, images)
    return Features(logits, [_rows(layer, outputs.get(layer), pool=pool) for layer in layers])


def feature_maps(network: nn.Module, layer: str, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return a network's logits (N, K) and a layer's output as maps (N, c, h, w), from one pass; values are 1x1 maps.

    Raises:
        ValueError: If the layer takes no part in the pass, or gives something else than a tensor.
    """
    logits, outputs = _outputs(network, [layer], images)
    output = outputs.get(layer)
    if isinstance(output, Tensor) and output.ndim == 4:  # noqa: PLR2004 - (N, c, h, w)
        return logits, output
    return logits, _rows(layer, output, pool=False)[:, :, None, None]


def _outputs(network: nn.Module, layers: Sequence[str], images: Tensor) -> tuple[Tensor, dict[str, Any]]:
    outputs: dict[str, Any] = {}
    hooks = [_watched(network, layer, outputs) for layer in layers]
    try:
        return network(images), outputs
    finally:
        for hook in hooks:
            hook.remove()


def _watched(network: nn.Module, layer: str, outputs: dict[str, Any]) -> Any:
    if layer == PENULTIMATE:
        return last_linear(network).register_forward_pre_hook(lambda _, inputs: outputs.update({layer: inputs[0]}))
    return network.get_submodule(layer).register_forward_hook(partial(_keep, outputs, layer))


def _keep(outputs: dict[str, Any], layer: str, _module: nn.Module, _inputs: Any, output: Any) -> None:
    outputs[layer] = output


def last_linear(network: nn.Module) -> nn.Linear:
    """Return the linear layer whose input is the penultimate layer.

    Raises:
        ValueError: If there is none.
    """
    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not linear:
        msg = f"{type(network).__name__} has no linear layer, whose input is its {PENULTIMATE} layer: name its layers"
        raise InputError(msg)
    return linear[-1]


def _rows(layer: str, output: Any, *, pool: bool | None) -> Tensor:
    if not isinstance(output, Tensor):
        got = "took no part in the pass" if output is None else f"gave a {type(output).__name__}, not a tensor"
        msg = f"layer {layer!r} {got}: name another layer"
        raise InputError(msg)
    if pool is None:
        return output
    return output.mean((2, 3)) if pool and output.ndim == 4 else output.flatten(1)  # noqa: PLR2004 - (N, c, h, w)
