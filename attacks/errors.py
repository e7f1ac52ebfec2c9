"""Errors that are about the input rather than a bug, where Python's own class could be either.

Commands show errors of these classes in one sentence. A ValueError, TypeError or RuntimeError that Python or torch
raises on a line of this project is a bug: it keeps its traceback.
"""


class InputError(ValueError):
    """A value is not accepted; the message says what is."""


class InputTypeError(TypeError):
    """A value, an argument or a class is of a type that is not accepted."""


class OutputError(RuntimeError):
    """An attack or a saliency method returned what breaks its promises."""
