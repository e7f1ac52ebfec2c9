"""TensorBoard's log of one model: where it cannot be written, a sentence says so."""

import os
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import tensorboard  # type: ignore[import-untyped]
from lightning.pytorch import loggers

from saliency.files import UnwrittenError

_WRITERS: Final = tuple(Path(str(package.__file__)).parent for package in (tensorboard, loggers))


def writable(folder: Path) -> bool:
    """Tell whether files can be made in a folder, which need not exist yet."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    return os.access(there, os.W_OK | os.X_OK)


@contextmanager
def log_of(folder: Path) -> Iterator[None]:
    """Name the log if it cannot be written.

    TensorBoard writes it in a thread of its own. The main thread raises what that thread raised; its traceback on
    standard error would come before the sentence.

    Args:
        folder: Of the log.

    Raises:
        UnwrittenError: If the log cannot be written.
    """
    before = threading.excepthook

    def hook(failure: Any) -> None:
        if not _of_log(failure.exc_value):
            before(failure)

    threading.excepthook = hook
    try:
        yield
    except OSError as error:
        if not _of_log(error):
            raise
        raise UnwrittenError(folder / "events.out.tfevents.*", error.strerror or str(error)) from error
    finally:
        threading.excepthook = before


def _of_log(error: BaseException | None) -> bool:
    """Tell whether a log could not be written."""
    if not isinstance(error, OSError) or error.errno is None:
        return False
    files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    return any(file.is_relative_to(package) for file in files for package in _WRITERS)
