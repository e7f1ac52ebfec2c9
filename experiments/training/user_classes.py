"""Classes of the user's own, which a pipeline file names by their paths, and the modules that define them."""

import importlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

_KNOWN: Final = ("attacks", "data", "detectors", "experiments", "lightning", "saliency", "torch", "torchvision")
"""Packages whose classes need no import of their own."""


def imported(path: str) -> Any:
    """Return what the class path `package.Name` names, importing its package.

    Raises:
        ValueError: If it cannot be imported; says why in one sentence.
    """
    package, _, name = path.rpartition(".")
    try:
        return getattr(importlib.import_module(package or path), name)
    except Exception as error:  # a module of a user's may raise anything
        reason = str(error).partition("\n")[0]
        if not isinstance(error, ImportError | AttributeError):
            reason = f"{type(error).__name__}: {reason}"
        msg = f"class path {path!r} cannot be imported: {reason}"
        raise ValueError(msg) from error


def import_modules(names: Iterable[str]) -> None:
    """Import the modules that --imports names, so that checkpoints may name their classes.

    Raises:
        ValueError: If one cannot be imported.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except (ImportError, ValueError) as error:
            msg = f"imports names {name}, which cannot be imported: {error}"
            raise ValueError(msg) from error


def user_classes(section: Any) -> list[str]:
    """Return the paths of the user's own classes and networks that a section names at any depth, sorted."""
    if isinstance(section, list):
        return sorted({path for value in section for path in user_classes(value)})
    if not isinstance(section, Mapping):
        return []
    named = [section[key] for key in ("class_path", "network") if isinstance(section.get(key), str)]
    own = {path for path in named if "." in path and path.partition(".")[0] not in _KNOWN}
    return sorted(own | set(user_classes(list(section.values()))))
