"""Errors that are about the input rather than a bug, where Python's own class could be either.

Commands show errors of these classes in one sentence. A ValueError, TypeError or RuntimeError that Python or torch
raises on a line of this project is a bug: it keeps its traceback.
"""

import difflib
from collections.abc import Iterable
from typing import Final


class InputError(ValueError):
    """A value is not accepted; the message says what is."""


class InputTypeError(TypeError):
    """A value, an argument or a class is of a type that is not accepted."""


class OutputError(RuntimeError):
    """An attack or a saliency method returned what breaks its promises."""


def unknown(kind: str, name: object, accepted: Iterable[str]) -> str:
    """Return what to say of a name that is none of those accepted, with the nearest of them.

    Args:
        kind: What it should be the name of, as "key".
        name: What the user wrote.
        accepted: The accepted names; many are listed only where none is near.
    """
    names = list(accepted)
    meant = nearest(name, names)
    listed = f" Accepted: {', '.join(names)}" if names and (len(names) <= _LISTED or not meant) else ""
    return f"unknown {kind} {name!r}" + (meant or "." * bool(listed)) + listed


def nearest(name: object, accepted: Iterable[str], form: str = "{}") -> str:
    """Return the end of a sentence that asks whether the most similar name was meant; empty if none is near.

    Args:
        name: What the user wrote.
        accepted: The accepted names.
        form: What to show of a name, as "attacks.{}".
    """
    near = difflib.get_close_matches(str(name), list(accepted), 1)
    return f". Did you mean '{form.format(near[0])}'?" if near else ""


_LISTED: Final = 12
