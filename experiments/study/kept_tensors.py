"""Tensors that an evaluation keeps on disk, so that it is not repeated from the start."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from data.store.shards import read_shard, write_shard
from experiments.study.ranks import first


def kept(folder: Path, key: str, rows: int, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return tensors from their file in a folder; without one they are computed and written first.

    Args:
        folder: Is made.
        key: A digest of all that the tensors depend on.
        rows: Length of each tensor.
        make: Computes the tensors, by name.
    """
    path = folder / f"{key}.pt"

    def known() -> dict[str, Tensor] | None:
        if not path.exists():
            return None
        return {name: tensor.clone() for name, tensor in read_shard(path, key, 0, rows).items()}

    tensors = first(known)  # one process decides: another may see a file later
    if tensors is None:
        tensors = make()
        first(lambda: write_shard(path, key, 0, tensors))
    return tensors
