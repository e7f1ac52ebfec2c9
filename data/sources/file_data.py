"""The base of data sets that lie in image files."""

import warnings
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.batches import Pixels
from data.decoding.cache import DecodedFile
from data.decoding.decode import LazyPixels
from data.decoding.files import Files, shown
from data.images import ImageData
from saliency.files import expanded


class FileData(ImageData):
    """Images in files of any size. A subclass has `shape`, `classes` and `find`.

    Files are decoded once, in parallel threads, into a file of bytes in `cache` that is mapped into memory; of several
    processes one decodes and the others wait. Undecodable files are left out, with a warning. Without a cache, or
    without room for it, the loader's workers decode in each epoch, and an undecodable file is an error. Hidden files
    are not read (`data.decoding.files.is_hidden`).

    Copies, files of the same bytes, stay in one split; a warning counts them. The set's own test images stay as they
    are, so that results can be compared: training images that are also test images are left out.

    Args:
        root: Folder of the images.
        cache: Folder that keeps decoded images, C * H * W bytes each; None: they are not kept.
        kwargs: See `ImageData`.
    """

    def __init__(
        self,
        root: str = "datasets",
        cache: str | None = "runs/decoded",
        **kwargs: Any,
    ) -> None:
        super().__init__(root, **kwargs)
        self.cache = cache and expanded(cache)

    @abstractmethod
    def find(self) -> Files:
        """Return the image files.

        Raises:
            FileNotFoundError: If there are none; names the folders it looked in.
            ValueError: If they are not laid out as a data set, or a class has none.
        """

    def prepare_data(self) -> None:
        """Decode the files, unless that was done before.

        Raises:
            FileNotFoundError: If there are none.
            OSError: If the cache cannot be written.
            ValueError: If the files are not laid out as a data set, a class has no usable one, or the cache is damaged.
        """
        files = self.find()
        decoded = self._decoded(files)
        if decoded is not None and decoded.fits():
            decoded.open()

    def read(self) -> tuple[Pixels, Tensor, Tensor | None]:
        """Return all images that can be decoded."""
        files = self.find()
        decoded = self._decoded(files)
        pixels: Pixels
        if decoded is not None and decoded.fits():
            pixels, files, self._fingerprint, copies = decoded.open()
        else:
            files = self._usable(files, decoded)
            pixels, self._fingerprint = LazyPixels(files.paths, self.shape), files.digest(self.shape)
            copies = files.copies()
        if copies:
            self._originals = _originals(files, copies)
        is_test = None if files.is_test is None else torch.tensor(files.is_test)
        return pixels, torch.tensor(files.labels), is_test

    def _decoded(self, files: Files) -> DecodedFile | None:
        return None if self.cache is None else DecodedFile(files, self.shape, Path(self.cache))

    def _usable(self, files: Files, decoded: DecodedFile | None) -> Files:
        """Return the files that are not empty; warn of empty ones, and of a disk without room for the cache."""
        empty = files.empty()
        reasons = []
        if decoded is not None:
            reasons.append(
                f"{decoded.folder} has no room for {decoded.needed} bytes of decoded images, so that they are decoded "
                "anew in every epoch"
            )
        if empty:
            reasons.append(
                f"{len(empty)} of {len(files.names)} image files in {files.root} are empty and left out, the first is "
                f"{min(empty)}"
            )
        if reasons:
            warnings.warn(shown("; ".join(reasons)), stacklevel=2)
        return files.without(empty)


def _originals(files: Files, copies: Mapping[str, str]) -> Tensor:
    """Return by position (M,) the position of the file that it is a copy of, or its own; warn of the copies."""
    places = {name: place for place, name in enumerate(files.names)}
    originals = [places[copies.get(name, name)] for name in files.names]
    others = sum(files.labels[place] != files.labels[original] for place, original in enumerate(originals))
    name, original = next(iter(copies.items()))
    msg = (
        f"{len(copies)} image files in {files.root} are copies of others ({others} of them with another class), the "
        f"first is {name}, a copy of {original}: copies stay in one split, and training images that are also among the "
        "set's own test images are left out"
    )
    warnings.warn(shown(msg), stacklevel=3)
    return torch.tensor(originals)
