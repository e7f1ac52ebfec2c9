"""Tensors that an evaluation keeps on disk, so that it is not repeated from the start."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from data.store.shards import read_shard, write_shard


def kept(folder: Path, key: str, rows: int, made: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return tensors from their file in a folder; where there is none, they are computed and written first.

    Args:
        folder: Is made.
        key: A digest of all that the tensors depend on.
        rows: Length of each tensor.
        made: Computes the tensors, by name.
    """
    path = folder / f"{key}.pt"
    if not path.exists():
        write_shard(path, key, 0, made())
    return {name: tensor.clone() for name, tensor in read_shard(path, key, 0, rows).items()}
