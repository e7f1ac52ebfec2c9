"""Guided backpropagation, and the rectifiers of a network with its backward pass, whatever form they have."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from attacks.errors import InputError
from attacks.guard import frozen_weights
from attacks.problem import Problem
from saliency.maps.base import SaliencyMethod

_MAXIMA: Final = (torch.maximum, Tensor.maximum, torch.fmax, Tensor.fmax, torch.max, Tensor.max)
_CLAMPS: Final = tuple(
    getattr(where, name) for where in (torch, Tensor) for name in ("clamp", "clip", "clamp_", "clip_")
)
_CLAMPS_BELOW: Final = (torch.clamp_min, Tensor.clamp_min, torch.clamp_min_, Tensor.clamp_min_)
_RELUS: Final = (functional.relu, torch.relu, Tensor.relu, torch.relu_, Tensor.relu_)
_THRESHOLDS: Final = (functional.threshold, functional.threshold_, torch.threshold)  # type: ignore[attr-defined]
_HARDTANHS: Final = (functional.hardtanh, functional.hardtanh_)

_BOUNDS: Final[dict[Any, Callable[..., tuple[Any, Any]]]] = {
    **dict.fromkeys(_RELUS, lambda: (0, None)),
    functional.relu6: lambda: (0, 6),
    **dict.fromkeys(_HARDTANHS, lambda min_val=-1.0, max_val=1.0: (min_val, max_val)),
    **dict.fromkeys(_CLAMPS, lambda min=None, max=None: (min, max)),  # noqa: A006 - torch's names
    **dict.fromkeys(_CLAMPS_BELOW, lambda min: (min, None)),  # noqa: A006
    **dict.fromkeys(_MAXIMA, lambda other=None, *_, **__: (other if isinstance(other, Tensor) else None, None)),
    **dict.fromkeys(_THRESHOLDS, lambda threshold, value: (threshold if threshold == value else None, None)),
}
"""Between which bounds a function cuts its first argument, by the other arguments; None: no bound."""

_OTHERS: Final = frozenset(
    {
        functional.leaky_relu,
        functional.leaky_relu_,
        functional.rrelu,
        functional.rrelu_,
        functional.prelu,
        Tensor.prelu,
        functional.elu,
        functional.elu_,
        functional.celu,
        functional.celu_,
        functional.selu,
        functional.selu_,
        functional.gelu,
        functional.silu,
        functional.mish,
        functional.softplus,
        functional.hardswish,
        *_HARDTANHS,
        *_THRESHOLDS,
    }
)
"""Activations for which guided backpropagation is not defined."""


@dataclass(frozen=True, kw_only=True)
class GuidedBackprop(SaliencyMethod):
    """The gradient of the class' logit, whose negative values become 0 at each rectifier on its way back.

    Rectifiers are ReLUs, also with an upper bound (ReLU6), in any form (see `GuidedRectifiers`). A network without a
    rectifier is refused, since its map would be the plain gradient. So is one with activations for which the method is
    not defined (GELU, Hardswish, ...).

    Raises:
        ValueError: At the call, if the method is not defined for the network.

    Reference: Springenberg et al., "Striving for Simplicity", arXiv 1412.6806. Captum's hooks are on `nn.ReLU` modules
    and the tensors that these get: they miss functional ReLUs, and change what reaches such a tensor by another way.
    """

    def attribute(self, problem: Problem) -> Tensor:
        """Return the guided gradient; see `SaliencyMethod.attribute`."""
        images = problem.images.detach().requires_grad_()
        with frozen_weights(problem.model), GuidedRectifiers() as rectifiers:
            logits = problem.model(images)
        if rectifiers.others or not rectifiers.found:
            others = " and ".join(sorted(rectifiers.others))
            reason = f"this one uses {others}" if others else "none is seen on the image's way"
            msg = f"guided backpropagation is defined by a network's ReLUs, but {reason}: use another saliency method"
            raise InputError(msg)
        (gradient,) = torch.autograd.grad(logits.gather(1, problem.labels[:, None]).sum(), images)
        return gradient


class GuidedRectifiers(TorchFunctionMode):
    """While it is active, rectifiers let a gradient back only where it is above 0 and the input between the bounds.

    A rectifier is a call of torch's that gives max(x, 0), or min(max(x, 0), b) with b above 0, of an x that requires
    gradients: relu, relu6, hardtanh, clamp, clip, threshold, `maximum` with 0, as functions, methods or modules, in
    place or not. What torch.jit scripted is not seen, nor what is written with other functions (`where`).

    Attributes:
        found: Whether a rectifier was called.
        others: Names of activations, as gelu, that were called and rectify in another way.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found = False
        self.others: set[str] = set()

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace one call, or let it pass."""
        kwargs = kwargs or {}
        if func in _MAXIMA and args[1:] and isinstance(args[1], Tensor) and args[1].requires_grad:
            args = args[::-1] if not args[0].requires_grad else args
        values = args[0] if args else kwargs.get("input")
        if not isinstance(values, Tensor) or not values.requires_grad:
            return func(*args, **kwargs)
        high = _upper_bound(func, args, kwargs)
        if high is None:
            if func in _OTHERS:
                self.others.add(func.__name__.strip("_"))
            return func(*args, **kwargs)
        self.found = True
        rectified = _Guided.apply(values, high)
        in_place = func.__name__.endswith("_") or kwargs.get("inplace")
        return values.copy_(rectified) if in_place else rectified


class _Guided(torch.autograd.Function):
    """Cuts values between 0 and an upper bound; keeps the mask only, as the values may be overwritten."""

    @staticmethod
    def forward(context: Any, values: Tensor, high: Any) -> Tensor:
        context.save_for_backward((values > 0) & (values < high))
        return values.clamp(min=0).clamp(max=high)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (mask,) = context.saved_tensors
        return gradient.clamp(min=0) * mask, None


def _upper_bound(func: Any, args: Any, kwargs: Any) -> Any:
    """Return where a call that cuts its input at 0 cuts it above, infinity: nowhere; None if it is no such call."""
    if func not in _BOUNDS:
        return None
    named = {name: value for name, value in kwargs.items() if name not in {"input", "inplace"}}
    low, high = _BOUNDS[func](*args[1:], **named)
    if not _holds(low, lambda bound: bound == 0):
        return None
    if high is None:
        return inf
    return high if _holds(high, lambda bound: bound > 0) else None


def _holds(bound: Any, condition: Callable[[Any], Any]) -> bool:
    """Whether a condition holds for a bound, a number or a tensor that takes no gradient."""
    if isinstance(bound, Tensor):
        return not bound.requires_grad and bool(condition(bound).all())
    return isinstance(bound, int | float) and bool(condition(bound))
