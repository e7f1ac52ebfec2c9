"""Checks of hyper-parameters, so that each refusal is worded once."""

from math import isfinite
from numbers import Integral, Real


def at_least(minimum: float, **values: float) -> None:
    """Refuse numbers below a minimum, infinite ones and NaN.

    Args:
        minimum: The smallest number accepted; where it is 1 or more, only whole numbers are.
        values: The numbers by the names of their hyper-parameters.

    Raises:
        ValueError: Naming the hyper-parameter, what it must be and what it is.
    """
    for name, value in values.items():
        number(**{name: value})
        if isinstance(minimum, int) and minimum > 0 and not isinstance(value, Integral):
            msg = f"{name} must be a whole number, got {value!r}"
            raise ValueError(msg)
        if not (isfinite(value) and value >= minimum):
            kind = "" if isinstance(minimum, int) and minimum > 0 else "finite and "
            msg = f"{name} must be {kind}at least {minimum}, got {value}"
            raise ValueError(msg)


def number(**values: object) -> None:
    """Refuse what is no number, such as text and truth values.

    Args:
        values: The values by the names of their hyper-parameters.

    Raises:
        TypeError: Naming the hyper-parameter and what it is.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            msg = f"{name} must be a number, got {value!r}"
            raise TypeError(msg)


def above_zero(**values: float) -> None:
    """Refuse numbers that are not finite and above 0.

    Args:
        values: The numbers by the names of their hyper-parameters.

    Raises:
        ValueError: Naming the hyper-parameter, what it must be and what it is.
    """
    for name, value in values.items():
        number(**{name: value})
        if not (isfinite(value) and value > 0):
            msg = f"{name} must be finite and above 0, got {value}"
            raise ValueError(msg)


def lengths(norm: str, **values: float) -> None:
    """Refuse lengths below 0 and, in the L-inf norm, above 1: values of images lie in [0, 1].

    Args:
        norm: linf or another one, where a length may be more.
        values: The lengths by the names of their hyper-parameters.

    Raises:
        ValueError: Naming the hyper-parameter, what it must be and what it is.
    """
    at_least(0, **values)
    for name, value in values.items():
        if norm == "linf" and value > 1:
            msg = f"{name} must be at most 1, for images are in [0, 1]: write 8/255 for 8 grey levels; got {value}"
            raise ValueError(msg)


def one_of(accepted: tuple[str, ...], **values: str) -> None:
    """Refuse words that are not accepted.

    Args:
        accepted: The words.
        values: The words by the names of their hyper-parameters.

    Raises:
        ValueError: Naming the hyper-parameter, what it must be and what it is.
    """
    for name, value in values.items():
        if value not in accepted:
            msg = f"{name} must be {' or '.join(accepted)}, got {value!r}"
            raise ValueError(msg)


def untargeted(attack: object) -> None:
    """Refuse `targeted` where an attack has no targeted form.

    Args:
        attack: An attack with its attribute `targeted`.

    Raises:
        ValueError: If it is set.
    """
    if getattr(attack, "targeted", False):
        msg = f"{type(attack).__name__} has no targeted form: leave out targeted=True"
        raise ValueError(msg)
