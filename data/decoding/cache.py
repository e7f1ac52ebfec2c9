"""Decoded images, kept as bytes in one file that is mapped into memory."""

import json
import math
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from filelock import FileLock
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from torch import Tensor

from attacks.errors import InputError
from data.decoding.decode import UndecodableError, decode_all
from data.decoding.files import Files, shown
from data.store.identity import content_digest
from saliency.files import UnwrittenError, leftovers, replacing, write_text

FORMAT: Final = 2
"""Version of decoding and of the files' layout; files of older versions are not used."""

_AT_ONCE: Final = 256


class MappedPixels:
    """Images (M, C, H, W) of a file of bytes that is mapped into memory."""

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self.path = path
        self.shape = shape
        self._mapped = torch.from_numpy(np.memmap(path, np.uint8, "c", shape=shape))  # torch opens UTF-8 names only

    def __getitem__(self, positions: Tensor, /) -> Tensor:
        """Return the images (n, C, H, W) uint8 at positions (n,) int64."""
        return self._mapped[positions]

    def __reduce__(self) -> tuple[Any, ...]:
        """Let a started worker map the file itself."""
        return type(self), (self.path, self.shape)


class Decoded(NamedTuple):
    """Decoded images (M, C, H, W) uint8, their M files, the `content_digest` of both, and the files' copies."""

    pixels: MappedPixels
    files: Files
    digest: str
    copies: dict[str, str]


class DecodedFile:
    """The decoded images of a set of files: `<key>.pixels`, the bytes, and `<key>.json`, which describes them.

    The key is a digest of the files' folder, names, sizes and times, and of the shape. The JSON file is written last: a
    set that has it is complete.

    Args:
        files: The files to decode.
        shape: (C, H, W) of the decoded images.
        folder: Keeps the decoded sets.
    """

    def __init__(self, files: Files, shape: tuple[int, int, int], folder: Path) -> None:
        self.files = files
        self.shape = shape
        self.folder = folder
        key = files.digest(FORMAT, str(files.root), shape)
        self.pixels, self.about, self.lock = (folder / f"{key}.{ending}" for ending in ("pixels", "json", "lock"))

    @property
    def needed(self) -> int:
        """The bytes that all images take."""
        return len(self.files.names) * math.prod(self.shape)

    def is_complete(self) -> bool:
        """Whether the images were decoded before."""
        return self.about.exists() and self.pixels.exists()

    def fits(self) -> bool:
        """Whether the images were decoded before, or the disk has room for them."""
        folder = self.folder.resolve()
        there = next(path for path in (folder, *folder.parents) if path.exists())
        try:
            written = sum(part.stat().st_size for part in leftovers(self.pixels))
        except OSError:
            written = 0
        return self.is_complete() or self.needed <= shutil.disk_usage(there).free + written

    def open(self) -> Decoded:
        """Return the decoded images; decode them where no process did, and wait for one that does.

        Raises:
            ValueError: If the decoded file is damaged, or a class has no file that can be decoded.
            OSError: If the folder cannot be written, or a file cannot be read.
        """
        if not self.is_complete():
            with _advice(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                with FileLock(self.lock):
                    if not self.is_complete():
                        self._decode()
        return self._read()

    def _decode(self) -> None:
        unreadable: dict[str, str] = {}
        for left in leftovers(self.pixels):  # of a process that was killed: its lock is ours now
            left.unlink()
        with replacing(self.pixels) as file:
            for name, image in self._images():
                if isinstance(image, UndecodableError):
                    unreadable[name] = str(image)
                else:
                    file.write(image)
            kept = self._without(unreadable)
            copies = kept.copies()
        labels = torch.tensor(kept.labels)
        shape = (len(labels), *self.shape)
        digest = content_digest(MappedPixels(self.pixels, shape), labels)
        about = {"folder": str(self.files.root), "shape": shape, "digest": digest, "copies": copies}
        write_text(self.about, json.dumps(about | {"unreadable": unreadable}, indent=1))
        if unreadable:
            msg = (
                f"{len(unreadable)} of {len(self.files.names)} image files in {self.files.root} cannot be decoded and "
                f"are left out, the first is {min(unreadable)}: {self.about} names all, and why"
            )
            warnings.warn(shown(msg), stacklevel=2)

    def _without(self, unreadable: Mapping[str, str]) -> Files:
        try:
            return self.files.without(unreadable)
        except ValueError as error:  # a class has no image left
            msg = f"{error}; {next(iter(unreadable.values()))}"
            raise InputError(msg) from error

    def _images(self) -> Iterator[tuple[str, Any]]:
        """Yield each file's name and image or error, under a progress bar."""
        names, paths = self.files.names, self.files.paths
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task(escape(shown(f"decoding {self.files.root}")), total=len(names))
            for start in range(0, len(names), _AT_ONCE):
                chunk = slice(start, start + _AT_ONCE)
                yield from zip(names[chunk], decode_all(paths[chunk], self.shape), strict=True)
                progress.advance(task, len(names[chunk]))

    def _read(self) -> Decoded:
        try:
            about = json.loads(self.about.read_text())
            unreadable, digest, copies = set(about["unreadable"]), about["digest"], dict(about["copies"])
            files = self.files.without(unreadable)
            if not (unreadable <= {*self.files.names} and {*copies, *copies.values()} <= {*files.names}):
                msg = "it names other files"
                raise InputError(msg)
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(self.about, f"it is not what was written: {error}", self.pixels) from error
        shape = (len(files.names), *self.shape)
        status, expected = self.pixels.stat(), math.prod(shape)
        if status.st_size != expected:
            raise _damaged(self.pixels, f"it has {status.st_size} bytes instead of {expected}", self.about)
        if _digest(self.pixels, status.st_mtime_ns, shape, files.labels) != digest:
            raise _damaged(self.pixels, "its bytes are not those that were written", self.about)
        return Decoded(MappedPixels(self.pixels, shape), files, digest, copies)


@lru_cache(maxsize=8)  # a pipeline opens the same file in every stage
def _digest(path: Path, changed: int, shape: tuple[int, ...], labels: tuple[int, ...]) -> str:  # noqa: ARG001
    return content_digest(MappedPixels(path, shape), torch.tensor(labels))


def _damaged(path: Path, how: str, other: Path) -> InputError:
    msg = f"the decoded images in {path} are damaged ({how}): delete it and {other.name}, and run again"
    return InputError(shown(msg))


@contextmanager
def _advice(folder: Path) -> Iterator[None]:
    """Add what to do to the system's error if it refuses to write into the folder."""
    try:
        yield
    except OSError as error:
        reason = error.reason if isinstance(error, UnwrittenError) else error.strerror
        if reason is None:  # the error says what to do
            raise
        msg = shown(
            f"decoded images cannot be kept in {folder.resolve()} ({reason}): give a folder that can be "
            "written as --data.cache (--data.images.cache for a detector), or null to decode them in every epoch"
        )
        raise OSError(msg) from error
