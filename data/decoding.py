"""Image files of any kind and size as bytes of one shape."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import get_worker_info

from data.cores import cores

Channels = Literal[1, 3]

Bytes = NDArray[np.uint8]

_SIXTEEN_BITS: Final = 65535


class UndecodableError(ValueError):
    """A file that is no image, is cut off, or is of a kind that has no bytes."""


def decode(path: str, shape: tuple[int, int, int]) -> Bytes:
    """Return an image, turned upright, its short side scaled to fit, cut to its centre.

    Scaling is bilinear with antialiasing; a large JPEG is decoded at a fraction of its size, never below twice what is
    needed. Palettes, CMYK and 16-bit grey are converted, transparent parts lie on white. Of several frames the first is
    taken.

    Args:
        path: Of the file; its content decides what it is.
        shape: (C, H, W) of the result, C 1 (grey) or 3 (RGB).

    Returns:
        (C, H, W) uint8.

    Raises:
        UndecodableError: If it cannot be decoded; names the file.
        OSError: If it cannot be read.
    """
    channels, height, width = shape
    try:
        with Image.open(path) as image:
            image.draft("L" if channels == 1 else None, (2 * max(height, width),) * 2)
            ImageOps.exif_transpose(image, in_place=True)
            plain = _converted(image, "L" if channels == 1 else "RGB")
            fitted = ImageOps.fit(plain, (width, height), Image.Resampling.BILINEAR)
    except Exception as error:  # PIL's plugins let anything through on broken files
        if isinstance(error, MemoryError):
            raise
        if isinstance(error, OSError) and error.errno is not None:  # the system's, not a decoder's
            msg = f"{path} cannot be read ({error.strerror}): get permission, or take it out of the folder"
            raise type(error)(msg) from error
        msg = f"{path} cannot be decoded ({error}): repair it or take it out of the folder"
        raise UndecodableError(msg) from error
    return np.ascontiguousarray(np.asarray(fitted).reshape(height, width, channels).transpose(2, 0, 1))


def _converted(image: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    if image.mode.startswith("I"):  # PIL would cut 16 bits off at 255
        values = np.asarray(image).astype(np.int64).clip(0, _SIXTEEN_BITS)
        image = Image.fromarray(((values * 255 + _SIXTEEN_BITS // 2) // _SIXTEEN_BITS).astype(np.uint8))
    elif image.mode == "F":
        msg = "its pixels are floating-point numbers of unknown range"
        raise ValueError(msg)
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def decode_all(paths: Sequence[str], shape: tuple[int, int, int]) -> list[Bytes | UndecodableError]:
    """Return each file's image, or why there is none.

    Files are decoded in parallel threads, one per core, but in a loader's worker one after the other: there the
    workers are what is parallel.

    Args:
        paths: Of the files.
        shape: (C, H, W) of the results.

    Raises:
        OSError: If a file cannot be read.
    """

    def one(path: str) -> Bytes | UndecodableError:
        try:
            return decode(path, shape)
        except UndecodableError as error:
            return error

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd but usable metadata, thousands in ASSIRA
        if get_worker_info() is not None:
            return [one(path) for path in paths]
        with ThreadPoolExecutor(cores()) as pool:
            return list(pool.map(one, paths))


class LazyPixels:
    """Images of a folder that are decoded when they are asked for.

    Args:
        paths: Of the files.
        shape: (C, H, W) of the images.
    """

    def __init__(self, paths: Sequence[str], shape: tuple[int, int, int]) -> None:
        self.paths = paths
        self.shape = shape

    def __getitem__(self, positions: Tensor, /) -> Tensor:
        """Return the images (n, C, H, W) uint8 at positions (n,) int64.

        Raises:
            UndecodableError: If one cannot be decoded; names the file.
            OSError: If one cannot be read.
        """
        images: list[Any] = decode_all([self.paths[position] for position in positions.tolist()], self.shape)
        for image in images:
            if isinstance(image, UndecodableError):
                raise image
        return torch.from_numpy(np.stack(images))
