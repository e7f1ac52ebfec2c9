"""What a class path names."""

import importlib
from typing import Any

from attacks.errors import InputError


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
        raise InputError(msg) from error
