"""What reproduces a table: versions, command, hashes of the checkpoints."""

import hashlib
import platform
import shlex
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

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
        "checkpoints": {name: digest(path) for name, path in files.items()},
    }


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
