"""Every ReLU of a network as a module of its own, so that hooks see all of them."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_IN_PLACE: Final = frozenset({torch.relu_, torch.Tensor.relu_})  # functional.relu_ is torch.relu_
_RECTIFIERS: Final = frozenset({functional.relu, torch.relu, torch.Tensor.relu}) | _IN_PLACE
_CLAMPS: Final = frozenset({torch.clamp, torch.clip, torch.Tensor.clamp, torch.Tensor.clip})
_CLAMPS_BELOW: Final = frozenset({torch.clamp_min, torch.Tensor.clamp_min})


class SeparateReLUs(nn.Module):
    """A view of a model in which each call of a ReLU goes through a module of its own, made for that call.

    Hooks on ReLU modules (Captum's guided backpropagation) miss functional ReLUs, which are in torchvision's
    Inception, GoogLeNet and DenseNet, and mistake one module that is called twice, as in ResNet. Here `torch.relu`,
    `functional.relu`, `tensor.relu`, `clamp(min=0)` and the in-place forms are diverted while the model runs. Only
    these modules are children of the view: hooks never touch the model itself.

    Args:
        model: Gives logits (N, K); runs in Python: what torch.jit scripted is not seen.
        images: (1, C, H, W), to count the calls on.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        super().__init__()
        calls: list[nn.ReLU] = []

        def counted(values: Tensor) -> Tensor:
            calls.append(nn.ReLU())
            return functional.relu(values)

        with torch.no_grad(), _Diverted(counted):
            model(images)
        self.rectifiers = nn.ModuleList(calls)
        self._run: Callable[[Tensor], Tensor] = model.__call__

    def forward(self, images: Tensor) -> Tensor:
        """Return the model's logits (N, K).

        Raises:
            ValueError: If the model calls more ReLUs than it did on the first image.
        """
        left = iter(self.rectifiers)

        def separate(values: Tensor) -> Tensor:
            rectified: Tensor = _next(left)(values)
            return rectified

        with _Diverted(separate):
            return self._run(images)


def _next(modules: Iterable[nn.Module]) -> nn.Module:
    for module in modules:
        return module
    msg = "the network calls more ReLUs on some images than on others: guided backpropagation is not defined for it"
    raise ValueError(msg)


class _Diverted(TorchFunctionMode):
    """While it is active, calls of a ReLU go to a function; what that calls itself is not diverted again."""

    def __init__(self, rectify: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._rectify = rectify

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Divert one call, or let it pass."""
        kwargs = kwargs or {}
        if not _is_relu(func, args, kwargs):
            return func(*args, **kwargs)
        values: Tensor = args[0] if args else kwargs["input"]
        rectified = self._rectify(values)
        asked = func is functional.relu and (kwargs.get("inplace") or args[1:2] == (True,))
        return values.copy_(rectified) if func in _IN_PLACE or asked else rectified


def _is_relu(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether a call computes max(x, 0)."""
    if func in _RECTIFIERS:
        return True
    bounds = [*args[1:], *kwargs.values()]
    if func in _CLAMPS_BELOW:
        return len(bounds) == 1 and _is_zero(bounds[0])
    only_below = len(args) <= 2 and kwargs.get("max") is None  # noqa: PLR2004 - the values and their minimum
    return func in _CLAMPS and only_below and _is_zero(args[1] if args[1:] else kwargs.get("min"))


def _is_zero(bound: Any) -> bool:
    return isinstance(bound, int | float) and bound == 0
