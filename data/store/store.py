"""The store: tensors that are computed once per image of a split, for all detectors, epochs, seeds and processes."""

import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from torch import Tensor

from attacks.errors import InputError
from data.decoding.files import shown
from data.store.identity import digest
from data.store.shards import FORMAT, read_shard, write_shard
from saliency.files import expanded, leftovers, write_text

SHARD_SIZE: Final = 256
"""Images per file: a killed process loses at most these."""

ABOUT: Final = "about.json"

_DIGITS: Final = 12
"""Digits of the key in the name of a set's folder."""

_NAME: Final = re.compile(rf"[a-z0-9_]+-[0-9a-f]{{{_DIGITS}}}")
"""The name of a set's folder; other folders are left alone."""

_OWN: Final = ("shard_*.pt", "shard_*.lock", "shard_*.tmp", f"{ABOUT}*")
"""Files of a set."""

_PATIENCE: Final = 0.1
"""Seconds between two looks at shards that other processes are making."""

Make = Callable[[slice], Mapping[str, Tensor]]


class StoredSet:
    """Tensors of the images of a split, memory-mapped, by row.

    Args:
        folder: The complete set.
        key: The digest of what the set depends on.
        count: Number of images.

    Raises:
        FileNotFoundError: If a shard is missing.
        ValueError: If one is damaged, of a newer format, or belongs elsewhere; names it.
    """

    def __init__(self, folder: Path, key: str, count: int) -> None:
        self.folder = folder
        self.key = key
        self.count = count
        self._shards = [
            read_shard(_shard(folder, number), key, number, rows.stop - rows.start)
            for number, rows in enumerate(_slices(count))
        ]
        first, *others = map(_kinds, self._shards)
        for number, kinds in enumerate(others, 1):
            if kinds != first:
                msg = (
                    f"{_shard(folder, number)} holds {kinds}, but the set's first shard {first}: delete {folder} to "
                    "have it made anew"
                )
                raise InputError(msg)
        self._arrays: dict[str, list[NDArray[Any]]] = {}

    def __len__(self) -> int:
        """Return the number of images."""
        return self.count

    @property
    def shards(self) -> int:
        """The number of files."""
        return len(self._shards)

    def read(self, name: str, rows: Tensor) -> Tensor:
        """Return a copy (n, ...) of the rows (n,) of a tensor.

        Raises:
            ValueError: If there is no tensor of that name.
        """
        if name not in self._shards[0]:
            msg = f"{self.folder} holds {', '.join(self._shards[0])}, not {name}: delete it to have it made anew"
            raise InputError(msg)
        sample = self._shards[0][name]
        result = torch.empty((len(rows), *sample.shape[1:]), dtype=sample.dtype)
        if name not in self._arrays:  # numpy copies a row in a fraction of the time that torch takes
            self._arrays[name] = [shard[name].numpy() for shard in self._shards]
        target, sources = result.numpy(), self._arrays[name]
        for place, row in enumerate(rows.tolist()):
            target[place] = sources[row // SHARD_SIZE][row % SHARD_SIZE]
        return result

    def passing(self, name: str, rows: Tensor) -> Tensor:
        """Return rows as `read` does, of files that are mapped for this call only: memory keeps none of them."""
        numbers, sample = rows // SHARD_SIZE, self._shards[0][name]
        result = torch.empty((len(rows), *sample.shape[1:]), dtype=sample.dtype)
        for number in dict.fromkeys(numbers.tolist()):
            length = min(SHARD_SIZE, self.count - number * SHARD_SIZE)
            shard = read_shard(_shard(self.folder, number), self.key, number, length)
            result[numbers == number] = shard[name][rows[numbers == number] % SHARD_SIZE]
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        """Let a started worker map the files itself."""
        return type(self), (self.folder, self.key, self.count)


@dataclass(frozen=True)
class SetFolder:
    """The folder of a set, complete or not.

    Attributes:
        about: What the set depends on, and the number of images; None if `about.json` cannot be read.
        shards: Number of files present.
        wanted: Number of files of the complete set; 0 if unknown.
        size: Size in bytes.
        used: When the set was last used, in seconds since the epoch.
    """

    folder: Path
    about: dict[str, Any]
    shards: int
    wanted: int
    size: int
    used: float

    @classmethod
    def at(cls, folder: Path) -> "SetFolder":
        """Return the set in a folder."""
        about = _read_about(folder / ABOUT)
        files = list(folder.glob("shard_*.pt"))
        images, depends = about.get("images"), about.get("depends_on")
        return cls(
            folder=folder,
            about=(depends if isinstance(depends, dict) else {}) | {"images": images},
            shards=len(files),
            wanted=-(-images // SHARD_SIZE) if isinstance(images, int) else 0,
            size=sum(file.stat().st_size for file in files),
            used=(folder / ABOUT).stat().st_mtime,
        )

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name


class Store:
    """A folder of sets, each named by what it depends on.

    A set is a folder `<kind>-<first digits of its key>` of shards; the key is a digest of what the set depends on, and
    stands in each shard. Several processes may work on a set at once: each shard is made by the one that has its lock,
    and a lock ends with its process. The folder is made when something is stored.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(expanded(folder))

    def complete(
        self, about: Mapping[str, Any], count: int, make: Make, tell: Callable[[int], None] = lambda _: None
    ) -> tuple[StoredSet, int]:
        """Make the shards of a set that are missing; return the set, and how many shards this process made.

        Args:
            about: What the set depends on, as plain values; has `kind`, a word.
            count: Number of images.
            make: Computes the tensors of some rows, one row an image; depends on nothing that `about` does not name.
            tell: Called with the number of images of each shard, found or made.

        Raises:
            OSError: If the folder or a shard cannot be written.
            ValueError: If a shard, or `about.json`, is damaged or belongs elsewhere; nothing is deleted.
        """
        about = {"depends_on": dict(about), "images": count, "format": FORMAT}
        key = digest(about)
        folder = self.folder / f"{about['depends_on']['kind']}-{key[:_DIGITS]}"
        self._prepare(folder, key, about)
        made, waiting = 0, list(enumerate(_slices(count)))
        while waiting:
            later = []
            for number, rows in waiting:
                made += _make_if_free(folder, key, number, rows, make)
                if _shard(folder, number).exists():
                    read_shard(_shard(folder, number), key, number, rows.stop - rows.start)  # before hours of work
                    tell(rows.stop - rows.start)
                else:
                    later.append((number, rows))
            waiting = later
            if waiting:
                time.sleep(_PATIENCE)  # other processes are at these; if one dies, its shard is made here
        with contextlib.suppress(OSError):  # a store that is complete may lie on a medium that is read-only
            os.utime(folder / ABOUT)
        return StoredSet(folder, key, count), made

    def entries(self) -> list[SetFolder]:
        """Return all sets, those used last first.

        Raises:
            FileNotFoundError: If there is no such folder.
        """
        if not self.folder.is_dir():
            msg = f"there is no store {self.folder}: `train.py pipeline` makes one in its run folder, under adversarial"
            raise FileNotFoundError(msg)
        folders = [about.parent for about in self.folder.glob(f"*/{ABOUT}")]
        sets = [SetFolder.at(folder) for folder in folders if _NAME.fullmatch(folder.name) and not folder.is_symlink()]
        return sorted(sets, key=lambda entry: -entry.used)

    def find(self, name: str) -> SetFolder:
        """Return the set of that name, or whose key begins with it.

        Raises:
            FileNotFoundError: If there is no store.
            ValueError: If no set, or more than one, is named so.
        """
        entries = self.entries() if name else []
        named = [e for e in entries if e.name == name or e.name.rpartition("-")[2].startswith(name)]
        if len(named) != 1:
            msg = f"{self.folder} has {len(named)} sets named {name!r}: give the name of one, as the list shows it"
            raise InputError(msg)
        return named[0]

    def remove(self, entry: SetFolder) -> None:
        """Delete a set; processes that read it go on, for its files are mapped. Other files stay.

        Raises:
            OSError: If the set cannot be deleted, or its folder holds something else.
        """
        try:
            for pattern in _OWN:
                for file in entry.folder.glob(pattern):
                    file.unlink()
            entry.folder.rmdir()
        except OSError as error:
            msg = f"{entry.folder} could not be deleted ({error.strerror or error}): delete by hand what is left"
            raise OSError(msg) from error

    def _prepare(self, folder: Path, key: str, about: Mapping[str, Any]) -> None:
        path = folder / ABOUT
        if os.fsencode(folder).decode(errors="replace") != str(folder):
            msg = shown(
                f"torch cannot map files in {folder}, whose name is no UTF-8: give another store, or null for none"
            )
            raise InputError(msg)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"{folder} could not be made ({error.strerror or error}): give another store, or null for none"
            raise OSError(msg) from error
        if not path.exists():
            write_text(path, json.dumps({"key": key, **about}, indent=2, sort_keys=True))
        elif _read_about(path).get("key") != key:
            msg = f"{path} is damaged or belongs to another set: restore it, or delete {folder} to have it made anew"
            raise InputError(msg)


def _make_if_free(folder: Path, key: str, number: int, rows: slice, make: Make) -> bool:
    """Make a shard unless it is there or another process makes it; return whether it was made here."""
    path = _shard(folder, number)
    if path.exists():
        return False
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except OSError as error:
        msg = f"{path} cannot be made ({error.strerror or error}): give another store, or null for none"
        raise OSError(msg) from error
    try:
        if path.exists():
            return False
        for left in leftovers(path):  # of a process that was killed: its lock is ours now
            left.unlink()
        write_shard(path, key, number, make(rows))
    finally:
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
    return True


def _kinds(shard: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the type and the shape of a row of each tensor."""
    return {name: f"{tensor.dtype} {tuple(tensor.shape[1:])}" for name, tensor in sorted(shard.items())}


def _slices(count: int) -> Iterator[slice]:
    for start in range(0, count, SHARD_SIZE):
        yield slice(start, min(start + SHARD_SIZE, count))


def _shard(folder: Path, number: int) -> Path:
    return folder / f"shard_{number:05}.pt"


def _read_about(path: Path) -> dict[str, Any]:
    """Return what a set depends on; empty if the file cannot be read."""
    try:
        about = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}
