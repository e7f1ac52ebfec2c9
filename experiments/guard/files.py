"""The image files behind paths on a command line."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from data.decoding.files import EXTENSIONS, images_below, shown
from saliency.files import expanded

STANDARD_INPUT: Final = "-"


def image_files(paths: Iterable[str]) -> list[str]:
    """Return files as given, and the image files in folders and below them, sorted; `-`: a path a line of stdin.

    Raises:
        FileNotFoundError: If there is no such file or folder, a folder has no image files, or no path is given.
    """
    files = [file for path in _listed(paths) for file in _files(path)]
    if not files:
        msg = "no image file is given: name files or folders, or give - and a path a line on standard input"
        raise FileNotFoundError(msg)
    return files


def _listed(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        if path == STANDARD_INPUT:
            yield from filter(None, sys.stdin.read().splitlines())
        else:
            yield expanded(path)


def _files(path: str) -> list[str]:
    if not Path(path).exists():
        msg = f"there is no file or folder {path}: give the path of one"
        raise FileNotFoundError(shown(msg))
    if not Path(path).is_dir():
        return [path]
    files = [file for file, _ in images_below(path)]
    if not files:
        msg = f"the folder {path} has no image files ({', '.join(EXTENSIONS)}), nor has one below it: give another"
        raise FileNotFoundError(shown(msg))
    return files
