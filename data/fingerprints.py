"""The identity of a data set's content."""

import hashlib

import torch
from torch import Tensor

from data.batches import Pixels

_CHUNK = 1024


def content_digest(pixels: Pixels, labels: Tensor) -> str:
    """Return a hex digest of all images and labels, the same wherever and in whatever layout they lie.

    Args:
        pixels: M images (C, H, W) uint8, read in chunks.
        labels: (M,) int64.
    """
    digest = hashlib.blake2b(digest_size=20)
    for start in range(0, len(labels), _CHUNK):
        chunk = pixels[torch.arange(start, min(start + _CHUNK, len(labels)))]
        digest.update(str(tuple(chunk.shape)).encode())
        digest.update(chunk.reshape(-1).numpy().data)
    digest.update(labels.contiguous().numpy().data)
    return digest.hexdigest()
