"""A command as a process: its first word, its exit status, and its end by errors, signals or a lost output."""

import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from attacks.errors import unknown
from experiments.errors import UsageError, refusal

WRONG_INPUT: Final = 1
WRONG_USAGE: Final = 2

_NAMES: Final = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}

_UNHANDLED: Final = (signal.SIG_DFL, signal.default_int_handler)
"""Handlers in whose place ours comes; one that a program around this one set, or that ignores a signal, stays."""

_SHELL: Final = 128
"""What a shell adds to the number of the signal that ended a process."""


def guarded(command: Callable[[list[str]], None], arguments: list[str] | None) -> int:
    """Run a command and return its exit status. Bad input gives one sentence; a bug raises its error.

    With the environment variable DEBUG set, the traceback of bad input is shown as well.

    Args:
        command: Takes the command line's arguments.
        arguments: Those; None: the process' own.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    _prepare()
    with _stop_signals() as came:
        try:
            command(arguments)
            sys.stdout.flush()
        except BaseException as error:
            ending = _stopped_by(error, came) or _lost_output(error) or _refused(error)
            if ending is None:
                raise
        else:
            return 0
    message, status = ending
    if came and is_helper():
        message = ""  # the first process says so
    sys.stderr.write(f"{message}\n" if message else "")
    return status


def _prepare() -> None:
    _open_outputs()
    _show_messages()
    _keep_freed_memory()


_GRACE: Final = 5
"""Seconds for a process to put its files in order, once its parent is gone."""


def work_for_parent() -> None:
    """Make this process, which another one of ours started, print as that one does and end with it.

    Ctrl-C reaches both: only the parent hears it, and ends its children by SIGTERM.
    """
    _prepare()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(_SHELL + number))
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _end_with(parent: Any) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)  # ends what runs here; a process of a pool then waits for more
    time.sleep(_GRACE)
    os._exit(_SHELL + signal.SIGTERM)


def is_helper() -> bool:
    """Return whether this is a further process of a distributed run: the first one holds the folders and prints."""
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK", "GROUP_RANK")
    return any(os.environ.get(name, "0") != "0" for name in names)


def _refused(error: BaseException) -> tuple[str, int] | None:
    """Return the sentence and the exit status of bad input; None for a bug.

    A command that exits by itself has printed its own message.
    """
    if isinstance(error, SystemExit):
        return "", error.code if isinstance(error.code, int) else int(error.code is not None)
    sentence = refusal(error)
    if sentence is None:
        return None
    if os.environ.get("DEBUG"):
        traceback.print_exc()
    return f"error: {sentence}", WRONG_USAGE if isinstance(error, UsageError) else WRONG_INPUT


class _Plain(logging.Handler):
    """Writes messages to standard output as they are."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line at once, also to a file."""
        sys.stdout.write(f"{record.getMessage()}\n")
        sys.stdout.flush()


def _show_messages() -> None:
    """Show the messages of the package `data`; as a library it stays silent."""
    logger = logging.getLogger("data")
    if not any(isinstance(handler, _Plain) for handler in logger.handlers):
        logger.addHandler(_Plain())
    logger.setLevel(logging.INFO)


_TRIM_THRESHOLD: Final = -1
_MMAP_MAX: Final = -4
"""Numbers of parameters in glibc's malloc.h."""


def _keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next tensor; other C libraries are left as they are.

    By default the pages of each tensor above 32 MiB, as a batch of photographs has many, go back to the system, which
    clears them for the next one: up to a quarter of the time of a fit on a CPU.
    """
    with suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, -1)


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Let Ctrl-C and SIGTERM raise an exception where the command is, and yield those that came.

    Lightning and the imports of packages turn that exception into others, or a worse one: the list still knows.
    """
    came: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> NoReturn:
        came.append(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(_SHELL + number)

    ours = [number for number in _NAMES if signal.getsignal(number) in _UNHANDLED]
    if threading.current_thread() is not threading.main_thread():
        ours = []  # only the main thread may set handlers
    before = {number: signal.signal(number, stop) for number in ours}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stopped_by(error: BaseException, came: list[int]) -> tuple[str, int] | None:
    """Return the sentence and the exit status if a signal to stop ended the command; else None."""
    if came:
        number = came[0]
    elif isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
        number = signal.SIGINT  # Lightning exits with status 1 then
    elif isinstance(error, SystemExit) and type(error).__module__.startswith("lightning"):
        number = signal.SIGTERM  # of another process of the same fit
    else:
        return None
    return f"{_NAMES[signal.Signals(number)]}: what was finished is kept", _SHELL + number


def _open_outputs() -> None:
    """Make standard output and error writable: closed ones go nowhere, characters they lack are written as escapes.

    Names of folders may hold bytes that are no text, and a terminal may know ASCII only.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - as long as the process lives
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _lost_output(error: BaseException) -> tuple[str, int] | None:
    """Return the sentence and the exit status if standard output takes no more, as after `| head`; else None."""
    failed = error.__context__ if isinstance(error, SystemExit) else error  # rich exits after a broken pipe
    if not isinstance(failed, BrokenPipeError):
        failed = _flushed() if isinstance(error, SystemExit | OSError) else None
    if failed is None:
        return None
    status = _SHELL + signal.SIGPIPE if isinstance(failed, BrokenPipeError) else 1
    return f"standard output cannot be written ({failed.strerror}): what was finished is kept", status


def _flushed() -> OSError | None:
    """Flush standard output. If that fails, return the error and discard all further output."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        return error
    return None


HELP = ("-h", "--help")


def chosen(script: str, about: str, commands: Mapping[str, str], arguments: list[str]) -> str:
    """Return the command that the first argument names.

    Args:
        script: Name of the script, for its help.
        about: Description in the help.
        commands: A line about each command.
        arguments: The words of the command line.

    Raises:
        SystemExit: If help was asked for, once it is printed.
        UsageError: If there is no such command.
    """
    first = arguments[0] if arguments else ""
    if first in HELP:
        sys.stdout.write(_help(script, about, commands))
        raise SystemExit(0)
    if first in commands:
        return first
    if not first or first.startswith("-"):
        got = f"{first!r} cannot come first: " * bool(first)
        msg = f"{got}a command is needed: {', '.join(commands)}; see --help"
        raise UsageError(msg)
    raise UsageError(unknown("command", first, commands))


def _help(script: str, about: str, commands: Mapping[str, str]) -> str:
    width = max(map(len, commands))
    listed = "\n".join(f"  {name:<{width}}  {line}" for name, line in commands.items())
    return f"usage: {script} COMMAND [options]\n\n{about}\n\ncommands:\n{listed}\n\nMore: {script} COMMAND --help\n"
