"""What reproduces a table: versions, command, hashes of the checkpoints."""

import platform
import shlex
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data.store.identity import of_file

PACKAGES = (
    "adversarial-saliency",
    "torch",
    "torchvision",
    "lightning",
    "torchmetrics",
    "captum",
    "numpy",
    "scikit-image",
    "scikit-learn",
)


def provenance(command: list[str], files: Mapping[str, Path]) -> dict[str, Any]:
    """Return the versions, the command and the SHA-256 of each file, all plain values.

    Args:
        command: The command line, in words.
        files: The checkpoints that went in, by name.
    """
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "command": shlex.join(command),
        "checkpoints": {name: of_file(path) for name, path in files.items()},
    }
