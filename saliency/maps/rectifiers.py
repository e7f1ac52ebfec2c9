"""Every ReLU of a network as a module of its own, so that hooks see all of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_IN_PLACE: Final = frozenset({torch.relu_, Tensor.relu_, torch.clamp_, Tensor.clamp_, torch.clip_, Tensor.clip_})
_BELOW_IN_PLACE: Final = frozenset({torch.clamp_min_, Tensor.clamp_min_})
_RECTIFIERS: Final = frozenset({functional.relu, torch.relu, Tensor.relu, torch.relu_, Tensor.relu_})
_CLAMPS: Final = frozenset(
    {torch.clamp, Tensor.clamp, torch.clip, Tensor.clip, torch.clamp_, Tensor.clamp_, torch.clip_, Tensor.clip_}
)
_BELOW: Final = frozenset({torch.clamp_min, Tensor.clamp_min, torch.maximum, Tensor.maximum}) | _BELOW_IN_PLACE
_OTHERS: Final = frozenset(
    {
        functional.relu6,
        functional.hardtanh,
        functional.leaky_relu,
        functional.rrelu,
        functional.prelu,
        functional.elu,
        functional.celu,
        functional.selu,
        functional.gelu,
        functional.silu,
        functional.mish,
        functional.softplus,
        functional.hardswish,
        functional.threshold,
    }
)
"""Rectifiers that are no ReLU, for which guided backpropagation says nothing."""


class SeparateReLUs(nn.Module):
    """A view of a model in which each call of a ReLU goes through a module of its own, made for that call.

    Hooks on ReLU modules (Captum's guided backpropagation) miss functional ReLUs, which are in torchvision's
    Inception, GoogLeNet and DenseNet, and mistake one module that is called twice, as in ResNet. Here the relu and
    clamp functions of torch with a minimum of 0 and `maximum` with 0, in place or not, are diverted while the model
    runs, if what they rectify depends on the image. Only these modules are children of the view: hooks never touch the
    model itself.

    Args:
        model: Gives logits (N, K); runs in Python: what torch.jit scripted is not seen, nor a ReLU written with other
            functions (`where`).
        images: (1, C, H, W), to count the calls on.

    Attributes:
        others: Names of rectifiers that are no ReLU, as gelu, which the image passes.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        super().__init__()
        calls: list[nn.ReLU] = []

        def counted(values: Tensor) -> Tensor:
            calls.append(nn.ReLU())
            return functional.relu(values)

        mode = _Diverted(counted)
        with frozen(model), torch.enable_grad(), mode:
            model(images.detach().clone().requires_grad_())
        self.rectifiers = nn.ModuleList(calls)
        self.others = sorted(mode.others)
        self._run: Callable[[Tensor], Tensor] = model.__call__

    def forward(self, images: Tensor) -> Tensor:
        """Return the model's logits (N, K); while the model is `frozen` and the images require gradients.

        Raises:
            ValueError: If the model calls more ReLUs than it did on the first image.
        """
        left = iter(self.rectifiers)

        def separate(values: Tensor) -> Tensor:
            module = next(left, None)
            if module is None:
                msg = (
                    "the network calls more ReLUs on some images than on others: guided backpropagation is not "
                    "defined for it"
                )
                raise ValueError(msg)
            rectified: Tensor = module(values)
            return rectified

        with _Diverted(separate):
            return self._run(images)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Let no parameter require gradients, so that what does depends on the images; as before afterwards.

    Args:
        model: Whose parameters.
    """
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    try:
        for weight in learning:
            weight.requires_grad = False
        yield
    finally:
        for weight in learning:
            weight.requires_grad = True


class _Diverted(TorchFunctionMode):
    """While it is active, calls of a ReLU go to a function; what that calls itself is not diverted again.

    Attributes:
        others: Names of other rectifiers that were called.
    """

    def __init__(self, rectify: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._rectify = rectify
        self.others: set[str] = set()

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Divert one call, or let it pass."""
        kwargs = kwargs or {}
        values = args[0] if args else kwargs.get("input")
        if not isinstance(values, Tensor) or not values.requires_grad:
            return func(*args, **kwargs)
        if func in _OTHERS and not _is_threshold_of_zero(func, args, kwargs):
            self.others.add(func.__name__.strip("_"))
        elif _is_relu(func, args, kwargs):
            rectified = self._rectify(values)
            asked = func in {functional.relu, functional.threshold} and (
                kwargs.get("inplace") or args[1:][-1:] == (True,)
            )
            return values.copy_(rectified) if asked or func in _IN_PLACE | _BELOW_IN_PLACE else rectified
        return func(*args, **kwargs)


def _is_relu(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether a call computes max(x, 0)."""
    if func in _RECTIFIERS or _is_threshold_of_zero(func, args, kwargs):
        return True
    bounds = [*args[1:], *(value for name, value in kwargs.items() if name != "input")]
    if func in _BELOW:
        return len(bounds) == 1 and _is_zero(bounds[0])
    if func not in _CLAMPS:
        return False
    low = args[1] if args[1:] else kwargs.get("min")
    high = args[2] if args[2:] else kwargs.get("max")
    return _is_zero(low) and (high is None or high == torch.inf)


def _is_threshold_of_zero(func: Any, args: Any, kwargs: Any) -> bool:
    """Whether a call is `threshold(x, 0, 0)`."""
    given = dict(zip(("input", "threshold", "value"), args, strict=False)) | kwargs
    return func is functional.threshold and _is_zero(given.get("threshold")) and _is_zero(given.get("value"))


def _is_zero(bound: Any) -> bool:
    if isinstance(bound, Tensor):
        return not bound.requires_grad and not bound.any()
    return isinstance(bound, int | float) and bound == 0
