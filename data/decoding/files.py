"""The image files of a data set, before any is decoded."""

import hashlib
import json
import os
import unicodedata
import warnings
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import compress
from pathlib import Path
from typing import Any, Final

from torchvision.datasets.folder import IMG_EXTENSIONS

from attacks.errors import InputError

EXTENSIONS: tuple[str, ...] = (*IMG_EXTENSIONS, ".gif", ".jfif", ".avif")
"""Endings of image files; what PIL cannot decode, as AVIF before its version 11.3, is named and left out."""

_OF_SYSTEMS: Final = frozenset(
    {
        *("__macosx", "icon\r"),  # macOS
        *("$recycle.bin", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini"),  # Windows
        *("@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot"),  # network storage
        *("lost+found", "__pycache__"),
    }
)
"""Names, in lower case, of files and folders that systems add to a user's; other such names begin with a dot."""

_UNPRINTABLE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Categories of Unicode: control characters, surrogates, separators of lines and paragraphs."""

_BLOCK: Final = 4096
"""First bytes of equally large files, compared before whole files are."""


@dataclass(frozen=True)
class Files:
    """Image files with their labels.

    Attributes:
        root: The folder that holds them all, absolute.
        names: Their paths below it.
        labels: The class of each.
        is_test: Which are test images; None: the set has no test images of its own.
        class_names: The classes by label.

    Raises:
        ValueError: If a class has no file.
    """

    root: Path
    names: tuple[str, ...]
    labels: tuple[int, ...]
    is_test: tuple[bool, ...] | None
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        present = set(self.labels)
        missing = [name for label, name in enumerate(self.class_names) if label not in present]
        if missing:
            msg = shown(
                f"{self.root} has no usable image of the class {', '.join(missing)}: add images that can be "
                f"decoded ({', '.join(EXTENSIONS)}), or take the class away"
            )
            raise InputError(msg)

    @property
    def paths(self) -> list[str]:
        """The paths of the files; strings, because a `Path` costs more than a look at the file."""
        start = _start(self.root)
        return [start + name for name in self.names]

    def without(self, names: Collection[str]) -> "Files":
        """Return the files without those of these names; ValueError if a class has none left."""
        kept = [name not in names for name in self.names]
        return replace(
            self,
            names=tuple(compress(self.names, kept)),
            labels=tuple(compress(self.labels, kept)),
            is_test=self.is_test and tuple(compress(self.is_test, kept)),
        )

    def empty(self) -> set[str]:
        """Return the names of the empty files."""
        return {name for name, path in zip(self.names, self.paths, strict=True) if _size(path) == 0}

    def copies(self) -> dict[str, str]:
        """Return the name of each file with the bytes of an earlier one, and the name of the first such file.

        Raises:
            OSError: If a file cannot be read.
        """
        groups = [list(zip(self.names, self.paths, strict=True))]
        for content in (_size, _start_of, _digest):  # the cheapest first
            groups = [alike for group in groups for alike in _alike(group, content)]
        return {name: group[0][0] for group in groups for name, _ in group[1:]}

    def digest(self, *about: Any) -> str:
        """Return a hex digest of names, labels, sizes, times of modification, and of other plain values."""
        digest = hashlib.blake2b(json.dumps(about).encode(), digest_size=16)
        for name, label, path in zip(self.names, self.labels, self.paths, strict=True):
            status = os.stat(path)  # noqa: PTH116 - a `Path` costs more
            digest.update(os.fsencode(name) + f"\0{label} {status.st_size} {status.st_mtime_ns}\0".encode())
        return digest.hexdigest()


def shown(text: str) -> str:
    """Return a text as one line of valid Unicode: control characters, and bytes that are no UTF-8, become escapes."""
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in _UNPRINTABLE else char for char in text
    )


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name is hidden, or a system's own.

    Thumbnails and resource forks are copies of images, which must not get into other splits.
    """
    return name.startswith(".") or name.lower() in _OF_SYSTEMS


def visible(folder: str | Path) -> list[os.DirEntry[str]]:
    """Return the files and folders in a folder, sorted by name, without hidden ones.

    Broken links and pipes are left out, with a warning.

    Raises:
        OSError: If the folder cannot be read.
    """
    with _reading(folder), os.scandir(folder) as entries:
        listed = sorted((entry for entry in entries if not is_hidden(entry.name)), key=lambda entry: entry.name)
    usable = [entry for entry in listed if _is_usable(entry)]
    if len(usable) < len(listed):
        lost = next(entry.path for entry in listed if entry not in usable)
        _warn(f"{folder} has links that lead nowhere, or entries that are no files", len(listed) - len(usable), lost)
    return usable


def class_folders(folder: Path) -> list[str]:
    """Return the sorted names of the sub-folders that are not hidden; empty if there is no such folder."""
    return [entry.name for entry in visible(folder) if entry.is_dir()] if folder.is_dir() else []


def images_below(folder: str | Path) -> Iterator[tuple[str, str]]:
    """Yield path and real path of every image file in a folder and below it, in a fixed order.

    Links are followed, but not to folders above; a folder is read once, however many links lead to it.

    Raises:
        OSError: If a folder cannot be read.
    """
    waiting, seen = [str(folder)], {str(above) for above in Path(folder).resolve().parents}
    while waiting:
        where = heappop(waiting)  # in the order of their paths
        real = os.path.realpath(where)
        if real in seen:
            continue
        seen.add(real)
        for entry in visible(where):
            if entry.is_dir():
                heappush(waiting, entry.path)
            elif is_image(entry.name):
                yield entry.path, os.path.realpath(entry.path) if entry.is_symlink() else f"{real}{os.sep}{entry.name}"


def image_files(folder: Path, labels: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return path and label of every image file in the class folders and below them, in a fixed order.

    A file that links lead to counts once for each class. One that lies in a class folder counts for that class alone:
    links to it from other classes are left out, with a warning.

    Args:
        folder: Holds the class folders.
        labels: The label of each class folder's name.

    Raises:
        OSError: If a folder cannot be read.
    """
    listed = [(path, real, name) for name in sorted(labels) for path, real in images_below(folder / name)]
    homes = {name: os.path.realpath(folder / name) + os.sep for name in labels}
    classes = defaultdict(set)
    for _, real, name in listed:
        classes[real].add(name)
    once: dict[tuple[str, str], tuple[str, int]] = {}
    astray = []
    for path, real, name in listed:
        owners = {owner for owner in classes[real] if real.startswith(homes[owner])}
        if owners and name not in owners:
            astray.append(path)
        else:
            once.setdefault((real, name), (path, labels[name]))
    if astray:
        _warn(f"{folder} has links that lead to images of another class", len(astray), astray[0])
    return list(once.values())


def collect(
    root: Path, train: Sequence[tuple[str, int]], test: Sequence[tuple[str, int]] | None, class_names: Sequence[str]
) -> Files:
    """Return training files, and test files where the set has its own, as one listing.

    Args:
        root: A folder above all of them: each path begins with it.
        train: Path and label of each training file.
        test: Path and label of each test file; None: the set has none.
        class_names: The classes by label.

    Raises:
        ValueError: If a class has no file.
    """
    both = [*train, *(test or ())]
    return Files(
        root,
        names=tuple(path.removeprefix(_start(root)) for path, _ in both),
        labels=tuple(label for _, label in both),
        is_test=None if test is None else (False,) * len(train) + (True,) * len(test),
        class_names=tuple(class_names),
    )


def is_image(name: str) -> bool:
    """Whether a file is an image by the ending of its name."""
    return name.lower().endswith(EXTENSIONS)


@contextmanager
def _reading(path: str | Path) -> Iterator[None]:
    """Add what to do to the system's error if it refuses to read."""
    try:
        yield
    except OSError as error:
        msg = f"{path} cannot be read ({error.strerror}): get permission, or take it out of the data set"
        raise type(error)(shown(msg)) from error


def _alike(files: Sequence[tuple[str, str]], content: Callable[[str], int | bytes]) -> Iterator[list[tuple[str, str]]]:
    """Yield the groups of two or more files (name, path) of the same content."""
    groups = defaultdict(list)
    for name, path in files:
        groups[content(path)].append((name, path))
    return (group for group in groups.values() if len(group) > 1)


def _size(path: str) -> int:
    return os.stat(path).st_size  # noqa: PTH116 - a `Path` costs more


def _start_of(path: str) -> bytes:
    with _reading(path), open(path, "rb") as file:  # noqa: PTH123 - a `Path` costs more
        return file.read(_BLOCK)


def _digest(path: str) -> bytes:
    with _reading(path), open(path, "rb") as file:  # noqa: PTH123 - a `Path` costs more
        return hashlib.file_digest(file, "blake2b").digest()


def _is_usable(entry: os.DirEntry[str]) -> bool:
    if entry.is_symlink():  # entry.is_file() raises an error if links lead in circles
        return os.path.isdir(entry.path) or os.path.isfile(entry.path)  # noqa: PTH112, PTH113 - a `Path` costs more
    return entry.is_dir() or entry.is_file()


def _warn(what: str, count: int, first: str) -> None:
    warnings.warn(shown(f"{what}: {count} left out, the first is {first}"), stacklevel=3)


def _start(root: Path) -> str:
    return os.path.join(root, "")  # noqa: PTH118 - ends with one separator, also where the root is /
