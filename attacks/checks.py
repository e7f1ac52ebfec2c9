"""Checks of hyper-parameters, each with its message in one place.

Values are passed as keyword arguments named after their hyper-parameters. The message of a TypeError or ValueError
holds the name, the accepted values, and the value received.
"""

from collections.abc import Callable, Collection, Mapping
from math import isfinite
from numbers import Integral, Real
from typing import Any

from attacks.errors import InputError, InputTypeError, unknown


def at_least(minimum: float, *, whole: bool | None = None, **values: float) -> None:
    """Refuse numbers below a minimum, infinite ones and NaN.

    Args:
        minimum: The smallest number accepted.
        whole: Whether fractions are refused as well. None: they are if the minimum is a whole number above 0.
        values: The numbers.
    """
    if whole or (whole is None and isinstance(minimum, int) and minimum > 0):
        number(**values)
        _refuse_unless(lambda value: isinstance(value, Integral), "a whole number", values)
        _refuse_unless(lambda value: value >= minimum, f"at least {minimum}", values)
    else:
        _refuse_unless(lambda value: isfinite(value) and value >= minimum, f"finite and at least {minimum}", values)


def given(**values: float | None) -> dict[str, float]:
    """Return the numbers that are not None, for checks of hyper-parameters that may be None."""
    return {name: value for name, value in values.items() if value is not None}


def number(**values: object) -> None:
    """Refuse values that are no numbers, such as text and truth values."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            msg = f"{name} must be a number, got {value!r}"
            raise InputTypeError(msg)


def above_zero(**values: float) -> None:
    """Refuse numbers that are not finite and above 0."""
    _refuse_unless(lambda value: isfinite(value) and value > 0, "finite and above 0", values)


def at_most(maximum: float, **values: float) -> None:
    """Refuse numbers above a maximum."""
    _refuse_unless(lambda value: value <= maximum, f"at most {maximum}", values)


def below(limit: float, **values: float) -> None:
    """Refuse numbers that are not below a limit."""
    _refuse_unless(lambda value: value < limit, f"below {limit}", values)


def lengths(norm: str, **values: float) -> None:
    """Refuse lengths below 0 and, in the L-inf norm, above 1, the range of image values."""
    at_least(0, whole=False, **values)
    hint = "at most 1, for images are in [0, 1]: write 8/255 for 8 grey levels"
    _refuse_unless(lambda value: norm != "linf" or value <= 1, hint, values)


def one_of(accepted: Collection[str], **values: str) -> None:
    """Refuse words that are not accepted."""
    for name, value in values.items():
        if value not in accepted:
            raise InputError(unknown(name, value, accepted))


def untargeted(attack: object) -> None:
    """Refuse `targeted` where an attack has no targeted form."""
    if getattr(attack, "targeted", False):
        msg = f"{type(attack).__name__} has no targeted form: leave out targeted=True"
        raise InputError(msg)


def alike(outer: Any, inner: Any) -> None:
    """Refuse an attack and its inner attack if only one of the two is targeted."""
    if inner.targeted != outer.targeted:
        names = type(outer).__name__, type(inner).__name__
        msg = f"{names[0]} has targeted={outer.targeted} and its {names[1]} targeted={inner.targeted}: set both alike"
        raise InputError(msg)


def _refuse_unless(accepted: Callable[[Any], bool], must: str, values: Mapping[str, float]) -> None:
    number(**values)
    for name, value in values.items():
        if not accepted(value):
            msg = f"{name} must be {must}, got {value}"
            raise InputError(msg)
