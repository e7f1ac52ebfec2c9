"""Class paths: import the objects they name, and suggest similar ones."""

import importlib
import inspect
import sys
from typing import Any, Final

from attacks.errors import InputError, nearest

OWN: Final = ("attacks", "saliency", "detectors", "data", "experiments")
"""The packages of this project."""

CLASS_KEYS: Final = ("class_path", "init_args")
"""Keys of a config's section that names a class."""


def import_all(*packages: str) -> None:
    """Import all that these packages offer, so that it is known to parsers and to the loader of checkpoints."""
    for package in packages:
        module = importlib.import_module(package)
        for name in module.__all__:
            if inspect.ismodule(getattr(module, name)):
                import_all(f"{package}.{name}")


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
        elif reason == f"No {package} attribute {name}":  # as lazy_loader says it
            reason = f"module {package!r} has no attribute {name!r}"
        msg = f"class path {path!r} cannot be imported: {reason}"
        raise InputError(msg + similar(path)) from error


def similar(path: str) -> str:
    """Return the end of a sentence that asks whether a similar class path was meant; empty if there is none."""
    package, _, name = path.rpartition(".")
    module = sys.modules.get(package)
    if module is None:
        return nearest(package, OWN, f"{{}}.{name}")
    return "" if hasattr(module, name) else nearest(name, getattr(module, "__all__", dir(module)), f"{package}.{{}}")
