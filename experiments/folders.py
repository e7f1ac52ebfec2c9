"""Folders and files as a user names them: `~`, and names that the files of a run cannot hold."""

import re
from pathlib import Path
from typing import Any, Final

from jsonargparse import Namespace

from saliency.files import expanded

_UNFIT: Final = re.compile(r"^$|^[-#]|::|^(file|local):|^[\w+.-]+://|[\x00-\x1f\x7f\ud800-\udfff]")
"""Names of which options, YAML, Lightning (URLs) or TensorBoard (UTF-8) make something else."""


def folder_of(option: str, text: str | Path) -> Path:
    """Return the folder that an option names.

    Args:
        option: For the message.
        text: As it was given.

    Raises:
        ValueError: If the name would not survive in the files of a run, or in a command line.
    """
    if _UNFIT.search(str(text)):
        msg = (
            f"{option} cannot be {str(text)!r}: name a folder that does not begin with '-' or '#' and has no '::', no "
            "URL scheme, no control character, and no bytes that are not UTF-8"
        )
        raise ValueError(msg)
    return Path(expanded(text))


def with_home(value: Any) -> Any:
    """Return a value of a config with the home folder in the place of `~` where a text begins with it.

    Shells leave `~` alone after `=` and within YAML.

    Args:
        value: Text, or lists, dicts and namespaces of texts and others.
    """
    if isinstance(value, str) and value.startswith("~"):
        return expanded(value)
    if isinstance(value, dict):
        return {key: with_home(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_home(item) for item in value]
    if isinstance(value, Namespace):
        for key, item in vars(value).items():
            value[key] = with_home(item)
    return value
