"""Sections of a config: the texts in them, and the user's own classes that they name."""

import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from attacks.errors import InputError

_KNOWN: Final = ("attacks", "data", "detectors", "experiments", "lightning", "saliency", "torch", "torchvision")
"""Packages whose classes need no import of their own."""


def import_modules(names: Iterable[str]) -> None:
    """Import the modules that --imports names, so that checkpoints may name their classes.

    Raises:
        ValueError: If one cannot be imported.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except (ImportError, ValueError) as error:
            msg = f"imports names {name}, which cannot be imported: {error}"
            raise InputError(msg) from error


def texts(section: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Give every text in a section at any depth, after its key; the key is empty for members of a list."""
    if isinstance(section, Mapping):
        for name, value in section.items():
            yield from texts(value, name)
    elif isinstance(section, list):
        for value in section:
            yield from texts(value)
    elif isinstance(section, str):
        yield key, section


def user_classes(sections: Any) -> list[str]:
    """Return the paths of the user's own classes and networks that sections name, sorted."""
    named = {text for key, text in texts(sections) if key in {"class_path", "network"} and "." in text}
    return sorted(path for path in named if path.partition(".")[0] not in _KNOWN)
