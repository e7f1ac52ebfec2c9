"""The subcommands of `evaluate.py` that take a detector's checkpoint, each imported when it is run."""

from collections.abc import Mapping
from pkgutil import resolve_name
from typing import Final

COMMANDS: Final[Mapping[str, str]] = {
    "scan": "say which image files are adversarial, by a detector",
    "export": "write a detector as one graph, for ONNX or torch",
}
"""A line about each."""

_WHERE: Final[Mapping[str, str]] = {
    "scan": "experiments.guard.scan:run_scan",
    "export": "experiments.guard.export:run_export",
}


def run_command(name: str, arguments: list[str]) -> None:
    """Import and run a command with the arguments after its name."""
    resolve_name(_WHERE[name])(arguments)
