"""One process at a time writes into a folder: a lock that ends with its process, and a note of who holds it."""

import errno
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from saliency.files import UnwrittenError, write_text

_LOCK: Final = "working.lock"
_NOTE: Final = "working.txt"

_UNSUPPORTED: Final = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP})
"""Errors of file systems without locks, as some of a network."""


def is_helper() -> bool:
    """Tell whether another process of a distributed run holds the folders and does the talking."""
    names = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK", "GROUP_RANK")
    return any(os.environ.get(name, "0") != "0" for name in names)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder, but for the helpers of this one; nothing is left in it at the end.

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
