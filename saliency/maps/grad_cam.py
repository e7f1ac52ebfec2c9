"""Grad-CAM."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn

from attacks.errors import InputError
from attacks.problem import Problem
from saliency.maps.base import SaliencyMethod

_POOLING: Final = ("Pool", "Dropout", "Upsample", "Identity")
"""Parts of layers' names after which an output counts as pooled, no longer as a convolution's."""

_MAPS: Final = 4
"""Dimensions of activations that have a place: (N, C, H, W)."""


@dataclass(frozen=True, kw_only=True)
class GradCAM(SaliencyMethod):
    """The activations of a late layer, weighted by the mean gradient of their channel; negative values become 0.

    Args:
        layer: Name of the layer as in `named_modules`; None: the last one from a convolution on whose output has a
            height and a width, before any pooling, with its ReLU where that is a module. It must be called once.

    Raises:
        ValueError: At the call, if there is no such layer, it gives no maps, attention follows it, or the network
            passes no gradient.

    Reference: Selvaraju et al., "Grad-CAM", arXiv 1610.02391. By Captum, enlarged to the image bilinearly.
    """

    layer: str | None = None

    def attribute(self, problem: Problem) -> Tensor:
        """Return maps (N, 1, H, W), at least 0; see `SaliencyMethod.attribute`."""
        from captum.attr import LayerAttribution, LayerGradCam  # noqa: PLC0415

        layers = dict(problem.model.model.named_modules())  # type: ignore[union-attr]
        name = _last(layers, problem) if self.layer is None else self.layer
        if name not in layers:
            convolutions = [key for key, layer in layers.items() if isinstance(layer, nn.Conv2d)]
            msg = f"there is no layer {name!r} in the network: its convolutions are {', '.join(convolutions) or 'none'}"
            raise InputError(msg)
        explained = LayerGradCam(problem.model, layers[name])
        size = tuple(problem.images.shape[2:])
        try:
            maps = explained.attribute(problem.images, problem.labels, relu_attributions=True)
        except (AssertionError, RuntimeError) as error:
            if "does not require grad" in str(error):
                msg = "no gradient leads from the logits to a layer (no_grad in the network?): use LIME, it needs none"
                raise InputError(msg) from error
            if self.layer is None or "out of memory" in str(error):
                raise
            msg = f"layer {name!r} gives no maps that the logits depend on: give the name of a convolution"
            raise InputError(msg) from error
        if maps.ndim != _MAPS:
            msg = f"layer {name!r} gives no maps (N, C, H, W): give the name of a convolution"
            raise InputError(msg)
        enlarged: Tensor = LayerAttribution.interpolate(maps, size, "bilinear")
        return enlarged


def _last(layers: dict[str, nn.Module], problem: Problem) -> str:
    """Return the name of the last layer that gives maps and is called once, by a pass of one image."""
    candidates: list[tuple[str, Tensor]] = []  # with the outputs themselves, so that no storage is used again
    pooled: list[Tensor] = []
    calls = dict.fromkeys(layers, 0)
    convolved = False

    def note(name: str, layer: nn.Module, _inputs: Any, output: Any) -> None:
        nonlocal convolved
        calls[name] += 1
        convolved |= isinstance(layer, nn.Conv2d)
        if isinstance(layer, nn.MultiheadAttention):
            candidates.clear()  # what came before it is mixed over all places
        if not convolved or not isinstance(output, Tensor) or output.ndim != _MAPS or output.shape[2:].numel() == 1:
            return
        if any(part in type(layer).__name__ for part in _POOLING):
            pooled.append(output)
        elif output.data_ptr() not in {other.data_ptr() for other in pooled}:
            candidates.append((name, output))

    hooks = [layer.register_forward_hook(partial(note, name)) for name, layer in layers.items() if name]
    try:
        with torch.no_grad():
            problem.model(problem.images[:1])
    finally:
        for hook in hooks:
            hook.remove()
    once = [(name, output.data_ptr()) for name, output in candidates if calls[name] == 1]
    if not once:
        msg = (
            "Grad-CAM needs a layer from a convolution on whose output has a height and a width, and this network has "
            "none that no attention follows: name one as layer"
        )
        raise InputError(msg)
    return [name for name, place in once if place == once[-1][1]][-1]  # the outermost that gives it as it is in the end
