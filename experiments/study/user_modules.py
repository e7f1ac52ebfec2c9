"""A classifier or detector of the user's own: built by its path, or read from a checkpoint."""

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detectors import Classifier, load
from experiments.training.training_free import PARTS, required
from saliency.checkpoints import Portable
from saliency.class_paths import imported


def own_classifier(given: str | nn.Module, device: torch.device, image: Tensor, classes: int | None) -> nn.Module:
    """Return a classifier of the user's own, on the device, in eval mode.

    Args:
        given: Path of a checkpoint (.ckpt), a class or function by its path, or the module itself.
        device: Where to compute.
        image: (1, C, H, W), an image that it must take.
        classes: How many logits it must give; None: any number.

    Raises:
        TypeError: If what a path names is not callable, or makes no module.
        ValueError: If a path names nothing, what it names cannot be built, or does not take the image.
    """
    built = built_from(given, {}, Classifier) if isinstance(given, str) else given
    classifier = built.to(device).eval()
    check_classifier(given if isinstance(given, str) else type(given).__name__, classifier, image, classes)
    return classifier


def check_classifier(name: str, classifier: nn.Module, images: Tensor, classes: int | None) -> None:
    """Refuse a classifier that does not take an image, or gives something else than logits.

    Args:
        name: What to call it.
        classifier: In eval mode.
        images: (1, C, H, W).
        classes: How many logits it must give; None: any number.

    Raises:
        ValueError: If it does not; says what came instead.
    """
    image = images.to(next((each.device for each in classifier.parameters()), images.device))
    takes(name, lambda: _logits_of(classifier, image, classes), f"images {tuple(images.shape[1:])}")


def name_of(path: str | nn.Module) -> str:
    """Return the name of a user's own module: of its class, or of the folders of its checkpoint."""
    if not isinstance(path, str):
        return str(getattr(path, "name", type(path).__name__)).lower()
    if not path.endswith(".ckpt"):
        return path.rpartition(".")[2].lower()
    return re.sub(r"[^a-z0-9]+", "-", "-".join(Path(path).with_suffix("").parts[-5:]).lower()).strip("-")


def _logits_of(classifier: nn.Module, image: Tensor, classes: int | None) -> Tensor:
    logits: Tensor = classifier(image)
    if not isinstance(logits, Tensor):
        msg = f"it gives a {type(logits).__name__}, but must give a tensor of logits"
        raise TypeError(msg)
    if logits.ndim != 2 or len(logits) != 1 or classes not in {None, logits.shape[1]}:  # noqa: PLR2004 - (N, K)
        needed = (1, "K" if classes is None else classes)
        msg = f"it gives an output of shape {tuple(logits.shape)} for one image, but the data need logits {needed}"
        raise ValueError(msg)
    return logits


def takes(path: str, ask: Callable[[], Tensor], images: str = "the run's images") -> Tensor:
    """Return an answer of a user's own module, or say in a sentence that it does not take the images."""
    try:
        with torch.no_grad():
            return ask()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        msg = f"{path} does not take {images} ({reason}): use one made for them"
        raise ValueError(msg) from error


class MissingPartError(ValueError):
    """A detector needs a part that the run lacks."""


def training_free_detector(entry: Mapping[str, Any], parts: Mapping[str, Callable[[], nn.Module | None]]) -> nn.Module:
    """Return a detector of the pipeline file's section training_free.

    Args:
        entry: class_path and init_args, checked.
        parts: Give those of the run's parts that a constructor may take, by name; None: the run lacks it.

    Raises:
        MissingPartError: If the run lacks a part that the detector needs.
        ValueError: If it cannot be built.
    """
    path, arguments = entry["class_path"], dict(entry.get("init_args") or {})
    kind = imported(path)
    accepted, needed = inspect.signature(kind).parameters, required(kind)
    for name in [name for name in parts if name in accepted and name not in arguments]:
        part = parts[name]()
        if part is not None:
            arguments[name] = part
        elif name in needed:
            msg = f"the run has no {PARTS[name]}"
            raise MissingPartError(msg)
    return _built(path, kind, arguments)


def built_from(path: str, offered: Mapping[str, Callable[[], Any]], kind: type[Portable]) -> nn.Module:
    """Return what a path names: of `kind` if it is a checkpoint, else any module, given what it takes of the offers."""
    if path.endswith(".ckpt"):
        return load(path, kind)
    maker = imported(path)
    if not callable(maker):
        msg = f"{path} cannot be called: give a class path as my.module.MyDetector, or a .ckpt"
        raise TypeError(msg)
    lacking = [name for name in required(maker) if name not in offered]
    if lacking:
        msg = (
            f"{path} needs {', '.join(lacking)} as well, but is given {', '.join(offered) or 'nothing'} only: give the "
            "others defaults, or name a function that builds it"
        )
        raise ValueError(msg)
    accepted = inspect.signature(maker).parameters
    return _built(path, maker, {name: give() for name, give in offered.items() if name in accepted})


def _built(path: str, maker: Callable[..., Any], arguments: Mapping[str, Any]) -> nn.Module:
    """Return the module that a class or function makes; its random weights are drawn from a fixed seed."""
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            built = maker(**arguments)
    except Exception as error:
        msg = f"{path} cannot be built ({type(error).__name__}: {error}): name a function that builds it"
        raise ValueError(msg) from error
    if not isinstance(built, nn.Module):
        msg = f"{path} makes a {type(built).__name__}: it must make a torch.nn.Module"
        raise TypeError(msg)
    return built
