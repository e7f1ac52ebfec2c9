"""Errors as a user sees them: one sentence on standard error, an exit status, no traceback."""

import logging
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final, NoReturn, get_args

import lightning
import yaml
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningArgumentParser
from lightning.pytorch.utilities.exceptions import SIGTERMException

from experiments.refusals import one_sentence

WRONG_INPUT = 1
WRONG_USAGE = 2
INTERRUPTED = 130
TERMINATED = 143

_INTERRUPTION = "interrupted: what was finished is kept", INTERRUPTED
_TERMINATION = "terminated: what was finished is kept", TERMINATED


class UsageError(Exception):
    """The command line or a config is not what the parser accepts.

    Args:
        message: What the parser says.
        accepted: The options that it knows, as `trainer.max_epochs`.
    """

    def __init__(self, message: str, accepted: Collection[str] = ()) -> None:
        super().__init__(message)
        self.accepted = accepted


_OF_EVERY_PARSER: Final = ("help", "print_config", "print_shtab")


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

    def validate(self, namespace: Namespace, *args: Any, **kwargs: Any) -> None:
        """Check the values, also what jsonargparse lets pass: null where a type does not accept it, text for a section.

        Raises:
            TypeError: If a value is not of its type.
            KeyError: If a key is unknown.
        """
        super().validate(namespace, *args, **kwargs)
        typed = {action.dest: action for action in self._actions if hasattr(action, "_typehint")}
        for group in set(self.groups or ()) - typed.keys():
            if group in namespace and not isinstance(namespace[group], Namespace | dict):
                msg = f'Parser key "{group}": Expected a {dict}. Got value: {namespace[group]}'
                raise TypeError(msg)
        for name, action in typed.items():
            kind = action._typehint  # noqa: SLF001 - jsonargparse offers no other way to it
            if name not in namespace or namespace[name] is not None or action.default is None or kind is Any:
                continue
            if type(None) not in get_args(kind):
                msg = f'Parser key "{name}": Expected a {kind}. Got value: None'
                raise TypeError(msg)

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
        """Raise the message as a UsageError, which knows the options of the parser, or of its subcommand's."""
        named = re.match(r"Subcommand '([^']+)' ", message)
        choices = next((action.choices for action in self._actions if named and isinstance(action.choices, dict)), {})
        parser = choices.get(named[1], self) if named else self
        options = [action.dest for action in parser._actions]  # noqa: SLF001 - argparse offers no list
        raise UsageError(message, [name for name in options if name not in _OF_EVERY_PARSER]) from ex


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
    except (UsageError, ValueError, TypeError, OSError, RuntimeError, ImportError, MisconfigurationException) as error:
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
    if not isinstance(error, ValueError | TypeError | OSError | RuntimeError | MisconfigurationException):
        return error if _of_lightning(error) else None
    while error is not None:
        if isinstance(error, MisconfigurationException) or (isinstance(error, OSError) and error.filename):
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
_OURS: Final = (Path(__file__).parent, Path(lightning.__file__).parents[1], _PYTHON)
"""Where what is between the user's code and Lightning lies: these scripts' package, installed packages, Python's."""
_LIGHTNING: Final = Path(lightning.__file__).parent


def _of_exception(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
