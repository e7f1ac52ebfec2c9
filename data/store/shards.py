"""One file of a stored set: written atomically, checksummed, memory-mapped on reading."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from attacks.errors import InputError
from saliency.files import write_bytes

FORMAT: Final = 1
"""Version of the file's layout; a higher one is refused."""

_SEAL: Final = 72
"""Bytes at the end of a file: a word, and the digest of all bytes before it."""

_verified: set[tuple[str, int, int]] = set()
"""Path, size and time of change of the files whose checksums this process has compared."""


def write_shard(path: Path, key: str, number: int, tensors: Mapping[str, Tensor]) -> None:
    """Write a shard atomically, its tensors to the bit.

    Args:
        path: The file.
        key: The key of the set.
        number: The number of the shard within the set.
        tensors: The tensors by name, one row per image.

    Raises:
        OSError: If it cannot be written, for example on a full disk; names the file. Nothing is left behind.
    """
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "key": key, "shard": number, "tensors": kept}, buffer)
    buffer.write(_seal(hashlib.blake2b(buffer.getbuffer(), digest_size=32)))
    write_bytes(path, buffer.getbuffer())


def read_shard(path: Path, key: str, number: int, length: int) -> dict[str, Tensor]:
    """Return the tensors of a shard, memory-mapped; the checksums are compared once per process.

    Args:
        path: The file.
        key: The key of the set that it must belong to.
        number: The number that it must have within the set.
        length: The number of images that it must hold.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged, of a newer format, or belongs elsewhere; names it.
    """
    _verify(path)
    contents = _contents(path)
    if contents["format"] > FORMAT:
        msg = (
            f"{path} has format {contents['format']}, this version reads up to {FORMAT}: upgrade the project, or give "
            "another store"
        )
        raise InputError(msg)
    tensors: Any = contents.get("tensors")
    if not isinstance(tensors, dict) or not tensors or not all(map(_is_readable, tensors.values())):
        raise _no_shard(path)
    if (contents.get("key"), contents.get("shard")) != (key, number) or any(len(e) != length for e in tensors.values()):
        msg = f"{path} belongs to another set or place: move it away, and its images will be made anew"
        raise InputError(msg)
    return tensors


def _contents(path: Path) -> dict[str, Any]:
    try:
        contents: Any = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except OSError:
        raise
    except Exception as error:  # arbitrary bytes fail in arbitrary ways
        raise _no_shard(path) from error
    if not isinstance(contents, dict) or not isinstance(contents.get("format"), int):
        raise _no_shard(path)
    return contents


def _is_readable(tensor: Any) -> bool:  # numpy can copy its rows
    return type(tensor) is Tensor and tensor.ndim > 0 and tensor.layout is torch.strided


def _no_shard(path: Path) -> InputError:
    return InputError(f"{path} has a valid checksum but is no shard: move it away, and its images will be made anew")


def _verify(path: Path) -> None:
    """Compare the checksum, once per process."""
    status = path.stat()
    identity = (str(path.resolve()), status.st_size, status.st_mtime_ns)
    if identity in _verified:
        return
    digest = hashlib.blake2b(digest_size=32)
    if not path.is_file():
        msg = f"{path} is no file: move it away, and its images will be made anew"
        raise InputError(msg)
    with path.open("rb") as file:
        left = status.st_size - _SEAL
        while left > 0 and (part := file.read(min(left, 1 << 20))):
            digest.update(part)
            left -= len(part)
        sealed = file.read() == _seal(digest)
    if not sealed:
        msg = f"{path} is damaged, or no shard: restore it from a copy, or delete it to have its images made anew"
        raise InputError(msg)
    _verified.add(identity)


def _seal(digest: "hashlib.blake2b") -> bytes:
    return b"blake2b " + digest.hexdigest().encode()
