"""Files: written beside their target, flushed, then renamed. Also paths in the home, and the project's own YAML."""

import io
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from attacks.errors import InputError


def expanded(path: str | Path) -> str:
    """Return a path whose leading ~ is replaced by the user's home; that of an unknown user stays as it is."""
    return os.path.expanduser(path)  # noqa: PTH111 - `Path` raises an error of its own for an unknown user


class UnwrittenError(OSError):
    """A file could not be written, for the system's `reason`. An older file at its path is unchanged."""

    def __init__(self, path: Path, reason: str) -> None:
        self.reason = reason
        advice = "make room, get permission, or see whether its folder was deleted; then run again"
        super().__init__(f"{path} could not be written ({reason}): {advice}")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write into; at the end it takes the place of the file at the path, whose folder is made.

    After an exception, or on a full disk, the file at the path is what it was before, and nothing is left beside it.

    Raises:
        UnwrittenError: If it cannot be written.
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        of_another_file = error.filename not in {None, str(temporary), str(path), str(path.parent)}
        if error.errno is None or of_another_file:
            raise
        raise UnwrittenError(path, error.strerror or str(error)) from error
    finally:
        with suppress(OSError):  # it was renamed, or its folder is gone
            temporary.unlink()


def write_bytes(path: Path, contents: bytes | memoryview) -> None:
    """Write a whole file; see `replacing`."""
    with replacing(path) as file:
        file.write(contents)


def write_text(path: Path, text: str) -> None:
    """Write a whole file as UTF-8, bytes of names that are not UTF-8 as escapes; see `replacing`."""
    write_bytes(path, text.encode(errors="backslashreplace"))


def write_tensors(path: Path, contents: Any) -> None:
    """Write a file of torch; see `replacing`."""
    import torch  # noqa: PLC0415 - most of what reads or writes files needs no torch

    buffer = io.BytesIO()  # in memory first: torch reports a full disk in words of its own
    torch.save(contents, buffer)
    write_bytes(path, buffer.getbuffer())


def leftovers(path: Path) -> list[Path]:
    """Return the unfinished files beside a file, left by processes that write it now or were killed."""
    return list(path.parent.glob(f"{path.name}.*.tmp"))


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file that this project wrote.

    Raises:
        ValueError: If it is damaged; names it.
    """
    try:
        return yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f"{path} is damaged and cannot be read as YAML: restore it, or delete its folder to make it anew"
        raise InputError(msg) from error
