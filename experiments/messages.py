"""Errors as a user sees them: one sentence on standard error, an exit status, no traceback."""

import difflib
import inspect
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import yaml
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.exceptions import SIGTERMException

WRONG_INPUT = 1
WRONG_USAGE = 2
INTERRUPTED = 130
TERMINATED = 143

_INTERRUPTION = "interrupted: what was finished is kept", INTERRUPTED
_TERMINATION = "terminated: what was finished is kept", TERMINATED


class UsageError(Exception):
    """The command line or a config is not what the parser accepts."""


class Parser(LightningArgumentParser):
    """An argument parser that raises its errors, so that `guarded` tells them in one sentence."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.allow_abbrev = False  # a typo is no abbreviation

    def add_subclass_arguments(
        self, baseclass: type | tuple[type, ...], nested_key: str, *args: Any, **kwargs: Any
    ) -> Any:
        """Add them so that a path given for a part is a checkpoint's, never a config to read class paths from."""
        added = super().add_subclass_arguments(baseclass, nested_key, *args, **kwargs)
        action: Any = next(action for action in self._actions if action.dest == nested_key)
        action.sub_add_kwargs = {**getattr(action, "sub_add_kwargs", {}), "sub_configs": False}
        return added

    def instantiate(self, *args: Any, **kwargs: Any) -> Any:
        """Build the classes that a config names; what one of them refuses is told as it told it.

        Raises:
            ValueError: If a class that is one of several accepted types cannot be built.
        """
        try:
            return super().instantiate(*args, **kwargs)
        except ValueError as error:
            reasons = re.findall(r"^ *- (?!Expected a )(.+)$", str(error), re.MULTILINE)
            if "Union subtypes" not in str(error) or not reasons:
                raise
            raise ValueError("; ".join(reasons)) from error

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raise the message as a UsageError."""
        raise UsageError(message) from ex


def guarded(command: Callable[[list[str]], None], arguments: list[str] | None) -> int:
    """Run a command and return its exit status; bad input is told in one sentence.

    With the environment variable DEBUG set, the traceback is shown as well.

    Args:
        command: Takes the command line's arguments.
        arguments: Those; None: the process' own.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    _hear_packages()
    try:
        command(arguments)
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):
            return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        message, status = _INTERRUPTION  # Lightning turned Ctrl-C into status 1
    except (KeyboardInterrupt, SIGTERMException) as signal:
        message, status = _TERMINATION if isinstance(signal, SIGTERMException) else _INTERRUPTION
    except (UsageError, ValueError, TypeError, OSError, MisconfigurationException) as error:
        message, status = _told(error, arguments)
    else:
        return 0
    sys.stderr.write(f"{message}\n")
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


def _told(error: Exception, arguments: list[str]) -> tuple[str, int]:
    """Return the sentence and the status of bad input; raise again what a bug raised."""
    if isinstance(error, UsageError):
        configs = _configs(arguments)
        sentence = _pipeline_file(arguments, configs) or one_sentence(str(error), list(configs.values()))
        return f"error: {sentence}", WRONG_USAGE
    meant = _meant(error)
    if meant is None:
        raise error
    if os.environ.get("DEBUG"):
        traceback.print_exc()
    return f"error: {_of_exception(meant)}", WRONG_INPUT


def one_sentence(message: str, configs: list[Any] | None = None) -> str:
    """Return the parser's message on one line, with what is accepted where the parser does not say.

    Args:
        message: Of jsonargparse; may have many lines.
        configs: The parsed YAML files of the command, to look a rejected key up.
    """
    rejected = re.search(
        r"[Oo]ption '([^']+)'(?: is not accepted|$)|Key '([^']+)' is not expected", message, re.MULTILINE
    )
    if rejected:
        key = (rejected[1] or rejected[2]).split(".")[-1]
        return f"{_stage(message)}the key {key!r} is not accepted{_hint(key, configs or [])}"
    message = re.sub(r"(arguments are required: )(?:\w+\.)?(\w+)$", r"\1--\2", message)
    lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
    value = next((line for line in lines if line.startswith("Given value: ")), None)
    if value is None:
        return " ".join(lines)
    inner = [line for line in lines if re.match(r"(Problem|module|No module|Expected|does not|Not a|\w+ ?Error)", line)]
    reasons = [line.lstrip("- ") for line in lines if line.startswith("- ") and "NoneType" not in line]
    told = "; ".join(dict.fromkeys([*reasons, *inner])).replace(":; ", ": ") or lines[0]
    if told.startswith(("Parser key", "the following arguments")):  # of a section: its whole value says nothing
        return f"{lines[0].rstrip(':').removeprefix('Parser key ')}: {told.removeprefix('Parser key ')}"
    return f"{lines[0].rstrip(':').removeprefix('Parser key ')}: {told}, got {value.removeprefix('Given value: ')}"


def _stage(message: str) -> str:
    """Return the stage of a pipeline that the message names at its beginning, if it does."""
    found = re.match(r"stage [^ :]+: ", message)
    return found[0] if found else ""


def _hint(key: str, configs: list[Any]) -> str:
    """Return what the class or section that holds the key accepts, if a config shows where it stands."""
    for config in configs:
        for names in _accepted_beside(key, config):
            close = difflib.get_close_matches(key, names, 1)
            meant = f"; did you mean {close[0]!r}" if close else ""
            return f": here {', '.join(names)} are{meant}"
    return "; see `--help`, and `--model.help CLASS` or `--data.help CLASS` for a class's arguments"


def _accepted_beside(key: str, config: Any) -> list[list[str]]:
    """Return the arguments of each class in the config whose `init_args` hold the key."""
    if isinstance(config, list):
        return [names for item in config for names in _accepted_beside(key, item)]
    if not isinstance(config, dict):
        return []
    found = [names for item in config.values() for names in _accepted_beside(key, item)]
    arguments = config.get("init_args")
    if isinstance(arguments, dict) and key in arguments:
        parameters = inspect.signature(_class(str(config.get("class_path")))).parameters
        found.insert(0, [name for name in parameters if name != "self"])
    return found


def _class(path: str) -> Callable[..., Any]:
    package, _, name = path.rpartition(".")
    found: Callable[..., Any] = getattr(sys.modules.get(package), name, object)
    return found


def _configs(arguments: list[str]) -> dict[Path, Any]:
    """Return the YAML files that the command names and that can be read, with their content."""
    configs = {}
    for path in (Path(argument.split("=")[-1]) for argument in arguments):
        if path.suffix in {".yaml", ".yml"} and path.is_file():
            try:
                configs[path] = yaml.safe_load(path.read_text())
            except yaml.YAMLError:
                continue  # the parser tells it better
    return configs


def _pipeline_file(arguments: list[str], configs: dict[Path, Any]) -> str | None:
    """Return what to do where a command for one model was given a file for the whole pipeline."""
    if "pipeline" in arguments[:1]:
        return None
    for path, config in configs.items():
        if isinstance(config, dict) and {"run", "detectors"} <= config.keys():
            return f"{path} describes a whole experiment: run it with `python train.py pipeline --config {path}`"
    return None


def _meant(error: BaseException | None) -> BaseException | None:
    """Return the error that was raised on purpose, itself or beneath a library's; None if a bug raised it."""
    while error is not None:
        if isinstance(error, MisconfigurationException) or (isinstance(error, OSError) and error.filename):
            return error
        frames = traceback.extract_tb(error.__traceback__)
        if isinstance(error, ValueError | TypeError | OSError) and "site-packages" not in frames[-1].filename:
            return error
        error = error.__cause__ or error.__context__
    return None


def _of_exception(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
