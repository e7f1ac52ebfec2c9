"""Tensors that an evaluation keeps on disk, so that it is not repeated from the start."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from torch import Tensor

from data.store.shards import read_shard, write_shard
from experiments.study.ranks import first

_WORTH: Final = 1 << 21
"""Bytes that are kept for each second that they took, where only what took long is kept."""


def kept(
    folder: Path, key: str, rows: int, make: Callable[[], dict[str, Tensor]], *, only_slow: bool = False
) -> dict[str, Tensor]:
    """Return tensors from their file in a folder; without one they are computed and written first.

    Args:
        folder: Is made.
        key: A digest of all that the tensors depend on.
        rows: Length of each tensor.
        make: Computes the tensors, by name.
        only_slow: Write only what took longer than a second, and another second for every 2 MiB.
    """
    path = folder / f"{key}.pt"

    def known() -> dict[str, Tensor] | None:
        try:
            return {name: tensor.clone() for name, tensor in read_shard(path, key, 0, rows).items()}
        except FileNotFoundError:
            return None

    tensors = first(known)  # one process decides: another may see a file later
    if tensors is None:
        start = time.perf_counter()
        tensors = make()
        enough = _WORTH * (time.perf_counter() - start - 1)

        def write() -> None:
            if not only_slow:
                write_shard(path, key, 0, tensors)
            elif sum(tensor.nbytes for tensor in tensors.values()) < enough:
                with suppress(OSError):  # one can do without
                    write_shard(path, key, 0, tensors)

        first(write)
    return tensors
