"""Errors that are about the input rather than a bug, where Python's own class could be either.

Commands show errors of these classes in one sentence. A TypeError or RuntimeError of Python or torch is a bug: it keeps
its traceback.
"""


class InputTypeError(TypeError):
    """A value, an argument or a class is of a type that is not accepted."""


class OutputError(RuntimeError):
    """An attack or a saliency method returned what breaks its promises."""
