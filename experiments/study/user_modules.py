"""The user's own classifiers and detectors: built by class path, or read from a checkpoint."""

import inspect
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attacks.errors import InputError, InputTypeError
from detectors import Classifier, load
from detectors.logits import LogitsOf, logits_of
from experiments.training.training_free import PARTS, required
from saliency.checkpoints import Portable
from saliency.class_paths import imported

Offers = Mapping[str, Callable[[], Any]]
"""Functions that make arguments, by the name of the argument. Only those that a class or function takes are called."""

GivenDetector = str | nn.Module | Callable[..., Any]
"""A detector of the user's own: a class path or checkpoint, a module, a class, or a function from images to scores."""


class FromFunction(nn.Module):
    """A function from images to scores as a module.

    Args:
        function: Takes images (N, C, H, W) in [0, 1], gives scores (N,).
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        self.name = given_name(function)

    def forward(self, images: Tensor) -> Any:
        """Return scores (N,)."""
        return self.function(images)


def given_detector(source: GivenDetector, offers: Offers) -> nn.Module:
    """Return the user's own detector; a class is called with those of the offered parts that it accepts."""
    if isinstance(source, str):
        return built_from(source, offers, Portable)
    if isinstance(source, type):
        return _made(source.__qualname__, source, offers)
    if isinstance(source, nn.Module):
        return source
    if callable(source):
        return FromFunction(source)
    msg = (
        f"a detector must be a class path, a .ckpt, a torch.nn.Module or a function from images to scores, got a "
        f"{type(source).__name__}"
    )
    raise InputTypeError(msg)


def is_class(source: GivenDetector) -> bool:
    """Return whether a user's own detector is given by its class, or the class's path."""
    named = imported(source) if isinstance(source, str) and not source.endswith(".ckpt") else source
    return isinstance(named, type)


def given_name(source: object) -> str:
    """Return a name for the user's own detector or classifier, for tables."""
    if isinstance(source, str | nn.Module):
        return name_of(source)
    return str(getattr(source, "__name__", type(source).__name__)).strip("<>").lower()


def own_classifier(source: str | nn.Module, device: torch.device, image: Tensor, classes: int | None) -> nn.Module:
    """Return the user's own classifier, on the device, in eval mode.

    Args:
        source: Path of a checkpoint (.ckpt), a class or function by its path, or the module itself.
        device: Where to compute.
        image: (1, C, H, W), an image that it must take.
        classes: Number of logits that it must give; None: any number.

    Raises:
        InputTypeError: If the path cannot be called, or what it makes is no module.
        InputError: If the path cannot be imported or built, or the classifier does not take the image.
    """
    built = built_from(source, {}, Classifier) if isinstance(source, str) else source
    classifier, name = built.to(device).eval(), source if isinstance(source, str) else type(source).__name__
    with torch.no_grad(), suppress(Exception):  # `check_classifier` says what is wrong
        if not isinstance(classifier(image.to(device)), Tensor):
            classifier = LogitsOf(classifier).eval()
    check_classifier(name, classifier, image, classes)
    return classifier


def check_classifier(name: str, classifier: nn.Module, image: Tensor, classes: int | None) -> None:
    """Refuse a classifier that does not take an image (1, C, H, W), or gives other than `classes` logits; name it."""
    device = next((weights.device for weights in classifier.parameters()), image.device)

    def logits() -> Tensor:
        output = logits_of(classifier(image.to(device)))
        if output.ndim != 2 or len(output) != 1 or classes not in {None, output.shape[1]}:  # noqa: PLR2004 - (N, K)
            needed = (1, "K" if classes is None else classes)
            msg = f"it gives an output of shape {tuple(output.shape)} for one image, but the data need logits {needed}"
            raise InputError(msg)
        return output

    takes(name, logits, f"images {tuple(image.shape[1:])}")


def name_of(path: str | nn.Module) -> str:
    """Return a name for the user's own module: its class, or the folders of its checkpoint."""
    if not isinstance(path, str):
        return str(getattr(path, "name", type(path).__name__)).lower()
    if not path.endswith(".ckpt"):
        return path.rpartition(".")[2].lower()
    return re.sub(r"[^a-z0-9]+", "-", "-".join(Path(path).with_suffix("").parts[-5:]).lower()).strip("-")


def takes(path: str, ask: Callable[[], Tensor], images: str = "the run's images") -> Tensor:
    """Return the output of the user's own module; an error says why it does not take the images."""
    try:
        with torch.no_grad():
            return ask()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        msg = f"{path} does not take {images} ({reason}): use one made for them"
        raise InputError(msg) from error


class MissingPartError(InputError):
    """A detector needs a part that the run lacks."""


def training_free_detector(entry: Mapping[str, Any], parts: Offers) -> nn.Module:
    """Return a detector of the pipeline file's section training_free, whose entries are checked.

    Raises:
        MissingPartError: If a part that it needs is None.
        ValueError: If it cannot be built.
    """
    path = entry["class_path"]
    kind = imported(path)
    present = {name: part for name, part in _taken(kind, parts).items() if part is not None}
    arguments = present | (entry.get("init_args") or {})
    for name in required(kind):
        if name not in arguments:
            msg = f"the run has no {PARTS[name]}{' of other weights' if name == 'second' else ''}"
            raise MissingPartError(msg)
    return _built(path, kind, arguments)


def built_from(path: str, offers: Offers, kind: type[Portable]) -> nn.Module:
    """Return the module that a path names: a checkpoint of `kind`, or a class or function, called with the offers."""
    if path.endswith(".ckpt"):
        return load(path, kind)
    maker = imported(path)
    if not callable(maker):
        msg = f"{path} cannot be called: give a class path as my.module.MyDetector, or a .ckpt"
        raise InputTypeError(msg)
    return _made(path, maker, offers)


def _made(path: str, maker: Callable[..., Any], offers: Offers) -> nn.Module:
    lacking = [name for name in required(maker) if name not in offers]
    if lacking:
        msg = (
            f"{path} needs {', '.join(lacking)} as well, but is given {', '.join(offers) or 'nothing'} only: give the "
            "others defaults, or name a function that builds it"
        )
        raise InputError(msg)
    arguments = _taken(maker, offers)
    for name in required(maker):
        if arguments[name] is None:
            msg = f"{path} needs a {PARTS.get(name, name)}, and there is none"
            raise MissingPartError(msg)
    return _built(path, maker, arguments)


def _taken(maker: Callable[..., Any], offers: Offers) -> dict[str, Any]:
    accepted = inspect.signature(maker).parameters
    return {name: give() for name, give in offers.items() if name in accepted}


def _built(path: str, maker: Callable[..., Any], arguments: Mapping[str, Any]) -> nn.Module:
    """Return the module that a class or function makes; its random weights are drawn from a fixed seed."""
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            built = maker(**arguments)
    except Exception as error:
        msg = f"{path} cannot be built ({type(error).__name__}: {error}): name a function that builds it"
        raise InputError(msg) from error
    if not isinstance(built, nn.Module):
        msg = f"{path} makes a {type(built).__name__}: it must make a torch.nn.Module"
        raise InputTypeError(msg)
    return built
