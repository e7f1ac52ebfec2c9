"""What ends a command from outside: Ctrl-C, SIGTERM, and a standard output that is gone."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

_NAMES: Final = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}

_UNHANDLED: Final = (signal.SIG_DFL, signal.default_int_handler)
"""Handlers in whose place ours comes; one that a program around this one set, or that ignores a signal, stays."""

_SHELL: Final = 128
"""What a shell adds to the number of the signal that ended a process."""


@contextmanager
def stop_signals() -> Iterator[list[int]]:
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


def stopped_by(error: BaseException, came: list[int]) -> tuple[str, int] | None:
    """Return the sentence and the exit status if a signal to stop ended the command; else None.

    Args:
        error: What ended it.
        came: See `stop_signals`.
    """
    if came:
        number = came[0]
    elif isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
        number = signal.SIGINT  # Lightning exits with status 1 then
    elif isinstance(error, SystemExit) and type(error).__module__.startswith("lightning"):
        number = signal.SIGTERM  # of another process of the same fit
    else:
        return None
    return f"{_NAMES[signal.Signals(number)]}: what was finished is kept", _SHELL + number


def open_outputs() -> None:
    """Make standard output and error writable: closed ones go nowhere, characters they lack are written as escapes.

    Names of folders may hold bytes that are no text, and a terminal may know ASCII only.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115 - as long as the process lives
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def lost_output(error: BaseException) -> tuple[str, int] | None:
    """Return the sentence and the exit status if standard output takes no more, as after `| head`; else None.

    Args:
        error: What ended the command.
    """
    failed = error.__context__ if isinstance(error, SystemExit) else None  # rich exits after a broken pipe
    if not isinstance(failed, BrokenPipeError):
        failed = _flushed() if isinstance(error, SystemExit | OSError) else None
    if failed is None:
        return None
    status = _SHELL + signal.SIGPIPE if isinstance(failed, BrokenPipeError) else 1
    return f"standard output cannot be written ({failed.strerror}): what was finished is kept", status


def _flushed() -> OSError | None:
    """Write what is left for standard output; return why it cannot be, and let it go nowhere from then on."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        return error
    return None
