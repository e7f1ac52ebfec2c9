"""Errors as a user sees them: one sentence on standard error, an exit status, no traceback."""

import importlib.util
import logging
import os
import re
import shlex
import sys
import sysconfig
import traceback
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import yaml

from experiments.refusals import one_sentence
from experiments.signals import lost_output, open_outputs, stop_signals, stopped_by

WRONG_INPUT = 1
WRONG_USAGE = 2


class UsageError(Exception):
    """The command line or a config is not what the parser accepts.

    Args:
        message: What the parser says.
        accepted: The options that it knows, as `trainer.max_epochs`.
    """

    def __init__(self, message: str, accepted: Collection[str] = ()) -> None:
        super().__init__(message)
        self.accepted = accepted


def guarded(command: Callable[[list[str]], None], arguments: list[str] | None) -> int:
    """Run a command and return its exit status; bad input is told in one sentence.

    With the environment variable DEBUG set, the traceback is shown as well.

    Args:
        command: Takes the command line's arguments.
        arguments: Those; None: the process' own.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    open_outputs()
    _hear_packages()
    with stop_signals() as came:
        try:
            command(arguments)
            sys.stdout.flush()
        except BaseException as error:
            message, status = stopped_by(error, came) or lost_output(error) or _told(error, arguments)
        else:
            return 0
    sys.stderr.write(f"{message}\n" if message else "")
    return status


class _Plain(logging.Handler):
    """Writes messages to standard output as they are."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        sys.stdout.write(f"{record.getMessage()}\n")


def _hear_packages() -> None:
    """Show what the packages tell of their work; as libraries they stay silent."""
    logger = logging.getLogger("data")
    if not any(isinstance(handler, _Plain) for handler in logger.handlers):
        logger.addHandler(_Plain())
    logger.setLevel(logging.INFO)


def _told(error: BaseException, arguments: list[str]) -> tuple[str, int]:
    """Return the sentence and the status of bad input; raise again what a bug raised.

    A command that exits by itself has said what there is to say.
    """
    if isinstance(error, SystemExit):
        return "", error.code if isinstance(error.code, int) else int(error.code is not None)
    if isinstance(error, UsageError):
        configs, accepted = _configs(arguments), error.accepted or getattr(error.__cause__, "accepted", ())
        told = one_sentence(str(error), list(configs.values()), accepted)
        sentence = _pipeline_file(arguments, configs) or told
        return f"error: {sentence}", WRONG_USAGE
    meant = _meant(error)
    if meant is None:
        raise error
    if os.environ.get("DEBUG"):
        traceback.print_exc()
    return f"error: {_of_exception(meant)}", WRONG_INPUT


def _configs(arguments: list[str]) -> dict[Path, Any]:
    """Return the YAML files that the command names and that can be read, with their content."""
    configs = {}
    for path in (Path(argument.split("=")[-1]) for argument in arguments):
        if path.suffix in {".yaml", ".yml"}:
            with suppress(yaml.YAMLError, OSError, ValueError):  # the parser tells it better
                configs[path] = yaml.safe_load(path.read_text())
    return configs


def _pipeline_file(arguments: list[str], configs: dict[Path, Any]) -> str | None:
    """Return what to do where a command for one model was given a file for the whole pipeline."""
    if "pipeline" in arguments[:1]:
        return None
    for path, config in configs.items():
        if isinstance(config, dict) and {"run", "detectors"} <= config.keys():
            command = shlex.join(["python", "train.py", "pipeline", "--config", str(path)])
            return f"{path} describes a whole experiment: run it with `{command}`"
    return None


def _meant(error: BaseException | None) -> BaseException | None:
    """Return the error that was raised on purpose, itself or beneath a library's; None if a bug raised it."""
    from lightning.fabric.utilities.exceptions import MisconfigurationException  # noqa: PLC0415 - takes seconds

    if not isinstance(error, ValueError | TypeError | OSError | RuntimeError | MisconfigurationException):
        return error if _of_lightning(error) else None
    while error is not None:
        if isinstance(error, MisconfigurationException) or (isinstance(error, OSError) and error.errno):
            return error
        if isinstance(error, ValueError | TypeError | OSError | RuntimeError) and _on_purpose(error):
            return error
        if _of_lightning(error):
            return error
        error = error.__cause__ or error.__context__
    return None


def _on_purpose(error: BaseException) -> bool:
    """Tell whether a statement of these packages, of Python's, or a `raise` of a user's module raised an error.

    Of a RuntimeError, only a `raise` in these packages: an attack of the user's that breaks its promise.
    """
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if "site-packages" in frame.filename:
        return False
    file, raised = Path(frame.filename), re.search(r"\braise\b", frame.line or "") is not None
    ours = any(file.is_relative_to(folder) for folder in _PACKAGES)
    if isinstance(error, RuntimeError):
        return ours and raised
    return ours or raised or file.is_relative_to(_PYTHON) or frame.filename.startswith("<")


def _of_lightning(error: BaseException | None) -> bool:
    """Tell whether Lightning refuses something: a flag of the trainer, a callback's metric, a package not installed.

    What it raises beneath a module or callback of the user's, or in calling one, is a bug there, not a refusal.
    """
    if not isinstance(error, ValueError | TypeError | RuntimeError | ImportError):
        return False
    files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    if not files[-1].is_relative_to(_LIGHTNING) or "positional argument" in str(error):
        return False
    inside = next(number for number, file in enumerate(files) if file.is_relative_to(_LIGHTNING))
    return all(file.name.startswith("<") or any(file.is_relative_to(each) for each in _OURS) for file in files[inside:])


_PYTHON: Final = Path(sysconfig.get_path("stdlib"))
_PACKAGES: Final = tuple(
    Path(__file__).parents[1] / name for name in ("attacks", "saliency", "detectors", "data", "experiments")
)
_LIGHTNING: Final = Path(importlib.util.find_spec("lightning").origin or "").parent  # type: ignore[union-attr]
_OURS: Final = (Path(__file__).parent, _LIGHTNING.parent, _PYTHON)
"""Where what is between the user's code and Lightning lies: these scripts' package, installed packages, Python's."""


def _of_exception(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return re.sub(r"\s*\n\s*", " ", str(error).strip())
