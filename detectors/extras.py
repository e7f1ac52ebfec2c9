"""Packages that only some features need, as optional extras."""

from importlib.util import find_spec

from attacks.errors import InputError


def needed(package: str, extra: str) -> None:
    """Check that the package of an extra is installed.

    Raises:
        ValueError: If it is not installed; says how to install it.
    """
    if find_spec(package) is None:
        msg = f"{package} is not installed: run pip install -e '.[{extra}]' in the project's folder"
        raise InputError(msg)
