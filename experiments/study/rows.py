"""Tensors of many images whose rows are read when they are asked for: memory holds a batch of them, not all."""

import itertools
import os
import platform
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from data.store.identity import of_parts
from data.store.store import StoredSet
from experiments.study.ranks import gather, processes

_BLOCK: Final = 256
"""Rows of a block, where all are gone through."""


class Rows:
    """A tensor (M, ...) that is indexed by slices, positions (n,) or a mask (M,), and gives tensors (n, ...).

    Args:
        count: M.
        read: Returns the rows (n, ...) at positions (n,).
    """

    def __init__(self, count: int, read: Callable[[Tensor], Tensor]) -> None:
        self._positions = torch.arange(count)
        self._read = read

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._positions)

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        """Read rows."""
        return self._read(self._positions[index])

    @property
    def shape(self) -> torch.Size:
        """The shape of all rows."""
        return torch.Size((len(self), *self[:0].shape[1:]))

    def at(self, positions: Tensor) -> "Rows":
        """Return the rows at positions (n,); none is read yet."""
        return Rows(len(positions), lambda places: self._read(positions[places]))

    def digest(self) -> str:
        """Return what `of_tensor` returns for all rows."""
        blocks = (self[start : start + _BLOCK] for start in range(0, len(self), _BLOCK))
        return of_parts(self[:0].dtype, self.shape, blocks)


def rows_of(kept: StoredSet, name: str) -> Rows:
    """Return a tensor of a stored set."""
    return Rows(len(kept), lambda positions: kept.passing(name, positions))


def combined(function: Callable[..., Tensor], *rows: Rows) -> Rows:
    """Return a function, image by image, of rows; it is called anew for all that is read."""
    return Rows(len(rows[0]), lambda positions: function(*(each[positions] for each in rows)))


def on_disk(parts: Iterable[Tensor]) -> Rows:
    """Return tensors (n, ...) of one kind, at least one, joined, in a temporary file that ends with the rows.

    Args:
        parts: Are written one by one; the same in all processes, which share the file of their machine.
    """
    file, mine = _file()
    waiting, count = iter(parts), 0
    try:
        some = next(waiting)
        for part in itertools.chain([some], waiting):
            if mine:
                file.write(part.contiguous().numpy().tobytes())
            count += len(part)
        file.flush()
        gather(None, "a temporary file is whole")
    except BaseException:
        file.close()
        raise
    shape, size = some.shape[1:], some.shape[1:].numel() * some.element_size()

    def read(positions: Tensor) -> Tensor:
        result = torch.empty((len(positions), *shape), dtype=some.dtype)
        target = result.numpy()
        for place, position in enumerate(positions.tolist()):
            file.seek(position * size)
            file.readinto(target[place : place + 1].data.cast("B"))
        return result

    return Rows(count, read)


def _file() -> tuple[Any, bool]:
    """Return a temporary file without a name, and whether this process writes it; one on each machine does."""
    if processes() == 1:
        return tempfile.TemporaryFile(), True
    descriptor, path = tempfile.mkstemp()
    os.close(descriptor)
    try:
        machine = platform.node()
        offered = gather((machine, path), "a temporary file is chosen")
        chosen = next(each for where, each in offered if where == machine and Path(each).exists())
        file = Path(chosen).open("r+b")  # noqa: SIM115 - read as long as the rows live
        gather(None, "a temporary file is open")
    finally:
        Path(path).unlink()
    return file, chosen == path
