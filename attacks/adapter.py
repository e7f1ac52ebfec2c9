"""Advertorch's attacks behind the interface of this package."""

import importlib
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attacks.base import Attack, NormFamily
from attacks.checks import lengths
from attacks.errors import InputError
from attacks.guard import frozen_weights
from attacks.problem import Problem


def import_advertorch() -> ModuleType:
    """Return `advertorch.attacks`, supplying the one name that advertorch 0.2.3 needs and torch 2 no longer has."""
    gradcheck = sys.modules["torch.autograd.gradcheck"]  # the attribute of that name is a function today
    if not hasattr(gradcheck, "zero_gradients"):
        gradcheck.zero_gradients = _zero_gradients  # type: ignore[attr-defined]
    return importlib.import_module("advertorch.attacks")


_ALWAYS_TARGETED = ("JSMA", "JacobianSaliencyMapAttack", "LBFGSAttack")
"""LBFGSAttack takes `targeted`, but untargeted its loss and gradient disagree, and it fools nothing."""

_UNFIT = {
    "Attack": "is the base class of all",
    "ChooseBestAttack": "only chooses among other attacks",
    "FastFeatureAttack": "needs a guide image in place of labels",
}
"""Advertorch's classes with `perturb` that do not turn images and labels into adversarial images."""


@dataclass(frozen=True, kw_only=True)
class Advertorch(Attack):
    """An attack of advertorch, by the name of its class.

    Args:
        attack: Class in `advertorch.attacks`, for example LinfPGDAttack.
        parameters: Arguments of that class, as it names them. The adapter itself gives `predict`, `clip_min`,
            `clip_max`, `targeted`, and `num_classes` where the class asks for it.

    Raises:
        ValueError: If advertorch has no such attack, or the attack has no such argument; if an attack with only a
            targeted form here (JSMA, LBFGS) is not `targeted`, or one without a targeted form (FAB) is; or if the
            attack takes no labels (Attack, ChooseBestAttack, FastFeatureAttack).

    Works on today's torch (tested): GradientSignAttack, LinfPGDAttack, L2PGDAttack, MomentumIterativeAttack,
    SparseL1DescentAttack, DDNL2Attack, ElasticNetL1Attack, LinfSPSAAttack in both forms; LinfFABAttack and L2FABAttack
    untargeted; LBFGSAttack targeted.

    Does not work, by faults of advertorch 0.2.3 (tested): SinglePixelAttack and LocalSearchAttack on images that are
    not square, and SinglePixelAttack with `max_pixels` (100) above their number of pixels (IndexError);
    L2MomentumIterativeAttack where a gradient has values of 0 (0 / 0 makes them NaN, which is refused); on float64
    images FAB, ElasticNetL1Attack, CarliniWagnerL2Attack, SpatialTransformAttack and LBFGSAttack (RuntimeError).

    Differences: In some of advertorch's attacks an image's result depends on its neighbours in the batch. Random
        numbers are drawn for the whole batch from one seed; the global random state is restored.
    """

    attack: str
    parameters: dict[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", deepcopy(self.parameters))  # the caller's dict may change later
        if self.attack in _UNFIT:
            msg = f"advertorch's {self.attack} {_UNFIT[self.attack]}: name one of {', '.join(_known())}"
            raise InputError(msg)
        accepted = inspect.signature(self._class()).parameters
        ours = sorted(set(self.parameters) & {"predict", "clip_min", "clip_max", "targeted"})
        if ours:
            msg = f"parameters of {self.attack} must not hold {', '.join(ours)}: this adapter gives them"
            raise InputError(msg)
        unknown = sorted(set(self.parameters) - set(accepted))
        if unknown:
            msg = f"advertorch's {self.attack} takes {', '.join(accepted)}; got {', '.join(unknown)}"
            raise InputError(msg)
        norm = _norm(self.attack, {name: argument.default for name, argument in accepted.items()} | self.parameters)
        object.__setattr__(self, "norm_family", norm)
        sizes = {name: self.parameters.get(name) for name in ("eps", "eps_iter")}
        if norm == "linf":
            lengths(norm, **{name: size for name, size in sizes.items() if isinstance(size, int | float)})
        always_targeted = self.attack in _ALWAYS_TARGETED
        if always_targeted and not self.targeted:
            msg = f"advertorch's {self.attack} always takes its labels as targets: set targeted=True and pass targets"
            raise InputError(msg)
        if self.targeted and "targeted" not in accepted and not always_targeted:
            msg = f"advertorch's {self.attack} has no targeted form"
            raise InputError(msg)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        model, images = problem.model, problem.images.clone()
        accepted = inspect.signature(self._class()).parameters
        arguments: dict[str, Any] = {"clip_min": 0.0, "clip_max": 1.0, "targeted": self.targeted}
        if "num_classes" in accepted:
            with torch.no_grad():
                arguments["num_classes"] = model(images[:1]).shape[1]
        arguments = {name: value for name, value in arguments.items() if name in accepted} | self.parameters
        with frozen_weights(model), _own_randomness(problem.seed, images.device):
            adversarial: Tensor = self._class()(model, **arguments).perturb(images, problem.labels)
        return adversarial.to(images.dtype).clamp(0, 1)

    def _class(self) -> type:
        attack = getattr(import_advertorch(), self.attack, None)
        if not inspect.isclass(attack) or not hasattr(attack, "perturb"):
            msg = f"advertorch has no attack {self.attack!r}; it has {', '.join(_known())}"
            raise InputError(msg)
        return attack


_NORMS: dict[Any, NormFamily] = {
    **dict.fromkeys(("GradientSignAttack", "FGSM", "Linf", np.inf), "linf"),
    **dict.fromkeys(("GradientAttack", "FGM", "LBFGSAttack", "L2", 2), "l2"),
    **dict.fromkeys(("L1", 1), "l1"),
    **dict.fromkeys(("JSMA", "JacobianSaliencyMapAttack", "SinglePixelAttack", "LocalSearchAttack"), "l0"),
}
"""The norm of an attack: found by the name of its class, a part of that name, or its argument `ord` or `norm`."""


def _norm(attack: str, arguments: dict[str, Any]) -> NormFamily | None:
    """Return the norm that an attack with these arguments bounds or minimises; None if this package lacks it."""
    part = next((norm for norm in ("Linf", "L2", "L1") if norm in attack), None)
    named = (attack, part, arguments.get("ord"), arguments.get("norm"))
    return next((_NORMS[name] for name in named if name in _NORMS), None)


def _known() -> list[str]:
    """Return the names of advertorch's attacks that turn images and labels into adversarial images."""
    return sorted({name for name, item in vars(import_advertorch()).items() if hasattr(item, "perturb")} - set(_UNFIT))


@contextmanager
def _own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch and numpy for one call, and restore their states afterwards."""
    state = np.random.get_state()  # noqa: NPY002 - advertorch draws from numpy's global state
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices):
            torch.default_generator.manual_seed(seed)
            if device.type == "cuda":
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _zero_gradients(tensors: Tensor | list[Tensor]) -> None:
    """Clear gradients as the function that torch 1 had under this name."""
    for tensor in [tensors] if isinstance(tensors, Tensor) else tensors:
        if tensor.grad is not None:
            tensor.grad.detach_().zero_()
