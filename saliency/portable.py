"""Modules that a checkpoint can rebuild, and how it describes them: by plain values alone."""

import inspect
from typing import Any, ClassVar

from torch import nn

from attacks.errors import InputTypeError

FORMAT = 1
_PLAIN = (bool, int, float, str, type(None))


class Portable(nn.Module):
    """A module that a checkpoint can rebuild.

    Rule: each argument of the constructor is kept in an attribute of the same name, as a plain value (number, text,
    None, or tuples, lists and dicts of them) or as another portable module. A constructor that takes the path of a
    checkpoint keeps the loaded module.
    """

    _known: ClassVar[dict[str, type["Portable"]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make the class known to the loader under its name."""
        super().__init_subclass__(**kwargs)
        taken = Portable._known.get(cls.__name__)
        if taken is not None and taken.__module__ != cls.__module__:
            msg = f"the name {cls.__name__} is taken by {taken.__module__}.{taken.__qualname__}: choose another"
            raise InputTypeError(msg)
        Portable._known[cls.__name__] = cls

    def arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments, read back from the attributes of the same names.

        Raises:
            TypeError: If an argument is not kept under its name.
        """
        names = [name for name in inspect.signature(type(self).__init__).parameters if name != "self"]
        for name in names:
            if not hasattr(self, name):
                msg = (
                    f"{type(self).__name__} does not keep its argument {name}, which a checkpoint must hold: set "
                    f"self.{name} = {name} in its constructor"
                )
                raise InputTypeError(msg)
        return {name: getattr(self, name) for name in names}


def describe(module: Portable) -> dict[str, Any]:
    """Return what rebuilds the module without its weights: {"class": name, "arguments": {...}}, all plain values.

    Raises:
        TypeError: If an argument is neither plain nor portable.
    """
    arguments = {name: pack(value, f"{type(module).__name__}.{name}") for name, value in module.arguments().items()}
    return {"class": type(module).__name__, "arguments": arguments}


def pack(value: Any, name: str) -> Any:
    """Return an argument as a checkpoint keeps it: plain values, tuples as lists, portable modules described.

    Args:
        value: The argument.
        name: What to call it in an error.

    Raises:
        TypeError: If it is neither plain nor portable.
    """
    if isinstance(value, Portable):
        return describe(value)
    if type(value) in _PLAIN:  # a subclass, as numpy's float64, would be pickled as an object of its own
        return value
    if isinstance(value, list | tuple):
        return [pack(item, name) for item in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: pack(item, name) for key, item in value.items()}
    msg = f"{name} cannot be kept in a checkpoint: {type(value).__name__} is neither a plain value nor Portable"
    if isinstance(value, nn.Module):
        msg += f"; give detectors.WrappedNetwork({type(value).__name__}, options=..., weights=...) in its place"
    raise InputTypeError(msg)
