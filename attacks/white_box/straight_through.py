"""A backward pass around parts without gradient: these count as the identity there (BPDA)."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from attacks.base import MostPasses
from attacks.errors import InputError, InputTypeError, unknown
from attacks.problem import Problem
from attacks.white_box.remedy import Remedy, classifier_of

DECLARED = "straight_through"
"""The attribute in which a detector or classifier names its parts without a useful gradient, a tuple of strings."""


@dataclass(frozen=True, kw_only=True)
class StraightThrough(Remedy):
    r"""Attack through parts g that round, cut or saturate: g(x) forward, and backward as if :math:`g(x) = x`.

    Forward passes stay as they are, to the bit. A part is a sub-module or a method of the detector or the classifier;
    it takes a tensor first and returns one of the same shape. `Estimation` is for other ones, such as a whole detector.
    The parts run without a graph, so they may compute in numpy. They are put back afterwards, also after an error.

    A detector declares its own parts in an attribute: `straight_through = ("denoise", "head.rounded")`.

    Args:
        parts: Their names as in `named_modules`, with the method's name at the end if it is one; looked for in the
            detector first, then in the classifier. None: those that detector and classifier declare.

    Raises:
        ValueError: When called, if there is no part of a name, or it returns another shape than it takes.

    Warns:
        UserWarning: When called, if no part is named or declared: the attack is then the plain one.

    Reference: Athalye, Carlini & Wagner, "Obfuscated Gradients Give a False Sense of Security", arXiv 1802.00420,
    section 4.1, backward pass differentiable approximation; Bengio et al., arXiv 1308.3432, the straight-through
    estimator.
    """

    parts: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.parts, str):
            msg = f"parts must be a tuple of names, got the text {self.parts!r}: write ({self.parts!r},)"
            raise InputTypeError(msg)
        if self.parts is not None:
            object.__setattr__(self, "parts", tuple(self.parts))  # lists come from configs

    def most_passes(self, classes: int) -> MostPasses | None:
        """Return the most passes for an image; see `Attack.most_passes`."""
        return self.attack.most_passes(classes)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        places = _places(self.parts, _networks(problem))
        if not places:
            msg = (
                "StraightThrough finds no part to replace, so it is the plain attack: name parts, or let the detector "
                f"declare them in its attribute {DECLARED}"
            )
            warnings.warn(msg, stacklevel=2)
        with _replaced(places):
            return self.attack.perturb(problem)


def declared(detector: nn.Module) -> tuple[str, ...]:
    """Return the names of the parts that a detector, or one that it wraps, declares to have no useful gradient."""
    return tuple(name for network in _wrapped(detector) for name in getattr(network, DECLARED, ()))


def has_part(detector: nn.Module, name: str) -> bool:
    """Return whether a detector, or one that it wraps, has a sub-module or method of a name."""
    return any(_found(network, name) for network in _wrapped(detector))


def _wrapped(detector: nn.Module | None) -> list[nn.Module]:
    """Return the detector inside all wrappers, such as that of its threshold, then these, the inner ones first."""
    networks: list[nn.Module] = []
    while isinstance(detector, nn.Module):
        networks.insert(0, detector)
        detector = getattr(detector, "detector", None)
    return networks


def _networks(problem: Problem) -> list[nn.Module]:
    """Return the detector with what wraps it, and the classifier."""
    classifier = classifier_of(problem)
    return [*_wrapped(problem.detector), *([] if classifier is None else [classifier])]


class _Place(NamedTuple):
    """A function of a module that is to be replaced: the module's, the name of its attribute, the part's name."""

    owner: nn.Module
    attribute: str
    name: str


def _places(names: Sequence[str] | None, networks: Sequence[nn.Module]) -> list[_Place]:
    """Return where the parts of some names are; of None: those that the networks declare."""
    if names is None:
        return [_place(name, [network]) for network in networks for name in getattr(network, DECLARED, ())]
    return [_place(name, networks) for name in names]


def _place(name: str, networks: Sequence[nn.Module]) -> _Place:
    for network in networks:
        place = _found(network, name)
        if place is not None:
            return place
    known = [each for network in networks for each, _ in network.named_modules() if each]
    whose = " or ".join(type(network).__name__ for network in networks)
    msg = f"{whose} has no such part or method: {unknown('part', name, known)}"
    raise InputError(msg)


def _found(network: nn.Module, name: str) -> _Place | None:
    path, _, last = name.rpartition(".")
    owner = dict(network.named_modules()).get(path)
    part = getattr(owner, last, None)
    if owner is None or not callable(part):
        return None
    return _Place(part, "forward", name) if isinstance(part, nn.Module) else _Place(owner, last, name)


@contextmanager
def _replaced(places: Sequence[_Place]) -> Iterator[None]:
    """Let the gradient pass these functions unchanged; they are as before afterwards."""
    with ExitStack() as stack:
        for owner, attribute, name in dict.fromkeys(places):
            own = vars(owner).get(attribute)
            stack.callback(partial(_put_back, owner, attribute, own))
            setattr(owner, attribute, _passing(getattr(owner, attribute), name))
        yield


def _put_back(owner: nn.Module, attribute: str, own: Any) -> None:
    """Give an instance its own function back, or the one of its class."""
    delattr(owner, attribute)
    if own is not None:
        setattr(owner, attribute, own)


def _passing(function: Callable[..., Any], name: str) -> Callable[..., Tensor]:
    """Return a function of a tensor, with its values and the gradient of the identity."""

    @wraps(function)
    def passing(inputs: Tensor, *rest: Any, **named: Any) -> Tensor:
        with torch.no_grad():
            outputs = function(inputs.detach(), *rest, **named)
        if not isinstance(outputs, Tensor) or outputs.shape != inputs.shape:
            got = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
            msg = (
                f"the part {name!r} returns {got} for {tuple(inputs.shape)}: only where both shapes are equal can a "
                "gradient pass unchanged; attacks.Estimation estimates that of the whole score instead"
            )
            raise InputError(msg)
        return outputs + (inputs - inputs.detach()).to(outputs)  # adds exactly 0

    return passing
