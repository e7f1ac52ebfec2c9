"""Errors about the input, as opposed to bugs.

Commands show errors of these classes in one sentence. A ValueError, TypeError or RuntimeError that Python or torch
raises on a line of this project is a bug: it keeps its traceback.
"""

import difflib
from collections.abc import Iterable
from typing import Final


class InputError(ValueError):
    """A value is not accepted; the message names the accepted ones."""


class InputTypeError(TypeError):
    """A value, an argument or a class is of a type that is not accepted."""


class OutputError(RuntimeError):
    """An attack or a saliency method returned a value that its interface forbids."""


def unknown(kind: str, name: object, accepted: Iterable[str]) -> str:
    """Return the message for a name that is not accepted; it suggests the most similar accepted name.

    Args:
        kind: What the name stands for, for example "key".
        name: What the user wrote.
        accepted: The accepted names. A long list is shown only if no accepted name is similar.
    """
    names = list(accepted)
    meant = nearest(name, names)
    listed = f" Accepted: {', '.join(names)}" if names and (len(names) <= _LISTED or not meant) else ""
    return f"unknown {kind} {name!r}" + (meant or "." * bool(listed)) + listed


def nearest(name: object, accepted: Iterable[str], form: str = "{}") -> str:
    """Return " Did you mean ...?" with the most similar accepted name; empty if none is similar.

    Args:
        name: What the user wrote.
        accepted: The accepted names.
        form: How a name is shown, for example "attacks.{}".
    """
    near = difflib.get_close_matches(str(name), list(accepted), 1)
    return f". Did you mean '{form.format(near[0])}'?" if near else ""


_LISTED: Final = 12
