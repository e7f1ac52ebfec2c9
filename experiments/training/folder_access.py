"""Whether and by whom a folder can be written: one process at a time; TensorBoard's log may fail in a thread."""

import errno
import os
import socket
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import tensorboard  # type: ignore[import-untyped]
from filelock import FileLock, Timeout
from lightning.pytorch import loggers

from experiments.process import is_helper
from saliency.files import UnwrittenError, write_text

_LOCK: Final = "working.lock"
_NOTE: Final = "working.txt"

_UNSUPPORTED: Final = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP})
"""Errors of file systems without locks, as some of a network."""

_LOGGERS: Final = tuple(Path(str(package.__file__)).parent for package in (tensorboard, loggers))


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder, but for the helpers of this one; nothing is left in it at the end.

    The lock ends with its process; a note beside it says which process that is.

    Args:
        folder: Is made.

    Raises:
        BlockingIOError: If another process is at work there; names it.
        UnwrittenError: If the folder cannot be written.
    """
    if is_helper():
        yield
        return
    lock, note = FileLock(folder / _LOCK), folder / _NOTE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout as error:
        msg = f"{folder} is in use by {_holder(note)}: wait until that has ended, or stop it, or choose another folder"
        raise BlockingIOError(msg) from error
    except (OSError, NotImplementedError) as error:  # the latter of older versions
        if isinstance(error, OSError) and error.errno not in _UNSUPPORTED:
            raise UnwrittenError(folder, error.strerror or str(error)) from error
        warnings.warn(f"{folder} lies where files cannot be locked: start no second process there", stacklevel=3)
    try:
        write_text(
            note, f"process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        )
        yield
    finally:
        for path in (note, Path(lock.lock_file)):
            with suppress(OSError):  # the folder may be gone
                path.unlink()
        lock.release()


def _holder(note: Path) -> str:
    try:
        return note.read_text()
    except OSError:  # it is just beginning, or ending
        return "another process"


def writable(folder: Path) -> bool:
    """Return whether files can be made in a folder, which need not exist yet."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return os.access(existing, os.W_OK | os.X_OK)


@contextmanager
def named_log(folder: Path) -> Iterator[None]:
    """Name TensorBoard's log in a folder if it cannot be written.

    TensorBoard writes in a thread of its own. The main thread raises that thread's error once more; the thread's
    traceback on standard error would come before the sentence.

    Raises:
        UnwrittenError: If the log cannot be written.
    """
    before = threading.excepthook

    def hook(failure: Any) -> None:
        if not _is_of_log(failure.exc_value):
            before(failure)

    threading.excepthook = hook
    try:
        yield
    except OSError as error:
        if not _is_of_log(error):
            raise
        raise UnwrittenError(folder / "events.out.tfevents.*", error.strerror or str(error)) from error
    finally:
        threading.excepthook = before


def _is_of_log(error: BaseException | None) -> bool:
    """Return whether a log could not be written, by its error."""
    if not isinstance(error, OSError) or error.errno is None:
        return False
    files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    return any(file.is_relative_to(package) for file in files for package in _LOGGERS)
