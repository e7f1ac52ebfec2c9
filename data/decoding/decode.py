"""Image files of any kind and size as bytes of one shape."""

import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps
from PIL.PngImagePlugin import PngImageFile
from torch import Tensor
from torch.utils.data import get_worker_info

from attacks.errors import InputError
from data.decoding.files import shown

Channels = Literal[1, 3]

Bytes = NDArray[np.uint8]

_SIXTEEN_BITS: Final = frozenset({"PNG", "PPM"})
"""Formats whose 16-bit pixels PIL opens as 32-bit ones."""

_SIGNED: Final = 2
"""The sample format of signed integers in a TIFF."""

_STEPS: Final = {"L;2": 85, "L;4": 17}
"""PIL's factors from grey of 2 and 4 bits to 8."""

_ON_THE_SIDE: Final = frozenset({5, 6, 7, 8})
"""Values of Exif's orientation for images that lie on their side."""

_READABLE: Final = {
    FileNotFoundError: "give the path of an image",
    IsADirectoryError: "give the files in it",
    PermissionError: "get permission, or take it out of the folder",
}
"""What to do about an image that the system cannot read."""

_ON_THE_WAY: Final = {"La": "LA", "LAB": "RGB"}
"""Modes that PIL converts to few others, and the one to go through."""


class UndecodableError(InputError):
    """A file that is no image, is cut off, or has pixels of unknown range."""


def decode(path: str | BinaryIO, shape: tuple[int, int, int]) -> Bytes:
    """Return an image, turned upright, its short side scaled to fit, cut to its centre.

    Scaling is bilinear with antialiasing; a large JPEG is decoded at a fraction of its size, at least twice the needed
    one. Palettes, CMYK, YCbCr, LAB and 16 bits are converted, transparent parts become white. Of several frames the
    first is taken. Floating-point, 32-bit and signed numbers are refused, because their range is unknown: an image in
    [0, 1] would pass for a black one in [0, 255].

    Args:
        path: The file, or an open binary one; its content decides its format.
        shape: (C, H, W) of the result, C 1 (grey) or 3 (RGB).

    Raises:
        UndecodableError: If it cannot be decoded; names the file.
        OSError: If it cannot be read.
    """
    channels, height, width = shape
    try:
        with Image.open(path) as image:
            _refuse_unknown_range(image)
            _repair_transparency(image)
            image.draft("L" if channels == 1 else None, (2 * max(height, width),) * 2)
            ImageOps.exif_transpose(image, in_place=True)
            return fitted(image, shape)
    except Exception as error:  # PIL's plugins let anything through on broken files
        if isinstance(error, MemoryError):
            raise
        if isinstance(error, OSError) and error.errno is not None:  # the system's, not a decoder's
            msg = f"{path} cannot be read ({error.strerror}): {_READABLE.get(type(error), 'take it out of the folder')}"
            raise type(error)(shown(msg)) from error
        name, reason = (path, error) if isinstance(path, str) else ("the image", str(error).replace(f" {path!r}", ""))
        msg = f"{name} cannot be decoded ({reason}): repair it or take it out of the folder"
        raise UndecodableError(shown(msg)) from error


def fitted(image: Image.Image, shape: tuple[int, int, int]) -> Bytes:
    """Return an upright image as bytes of the shape (C, H, W): its short side scaled to fit, cut to its centre."""
    channels, height, width = shape
    plain = _converted(image, "L" if channels == 1 else "RGB")
    scaled = ImageOps.fit(plain, (width, height), Image.Resampling.BILINEAR)
    return np.array(np.asarray(scaled).reshape(height, width, channels).transpose(2, 0, 1), order="C")


def _refuse_unknown_range(image: Image.Image) -> None:
    signed = _SIGNED in _tiff(image, ExifTags.Base.SampleFormat)
    if image.mode == "F" or signed or (image.mode == "I" and image.format not in _SIXTEEN_BITS):
        msg = "its pixels are floating-point, 32-bit or signed numbers, of unknown range: convert them to 8 or 16 bits"
        raise InputError(msg)


def _repair_transparency(image: Image.Image) -> None:
    """Scale the colour that a PNG declares transparent as PIL scales the pixels, from 2, 4 or 16 bits to 8."""
    if not isinstance(image, PngImageFile):
        return
    colour, layout = image.info.get("transparency"), str(image.tile[0][3])
    if isinstance(colour, int):
        image.info["transparency"] = colour * _STEPS.get(layout, 1)
    elif isinstance(colour, tuple) and layout == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def _converted(image: Image.Image, mode: Literal["L", "RGB"]) -> Image.Image:
    if image.mode.startswith("I"):
        image = _from_16_bits(image)
    elif image.mode in _ON_THE_WAY:
        image = image.convert(_ON_THE_WAY[image.mode])
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def _from_16_bits(image: Image.Image) -> Image.Image:
    """Return grey of 9 to 16 bits with 8, transparent pixels white; PIL would cut off at 255."""
    most = 2 ** next(iter(_tiff(image, ExifTags.Base.BitsPerSample)), 16) - 1
    values = np.asarray(image).astype(np.int64)
    if 0 in _tiff(image, ExifTags.Base.PhotometricInterpretation):  # white is 0; PIL inverts 8 bits only
        values = most - values
    values = np.where(values == image.info.get("transparency", -1), most, values)
    return Image.fromarray(((values * 255 + most // 2) // most).astype(np.uint8))


def _tiff(image: Image.Image, tag: ExifTags.Base) -> tuple[int, ...]:
    """Return the values of a TIFF's tag; none if the file is no TIFF, or lacks the tag."""
    values = getattr(image, "tag_v2", {}).get(tag, ())
    return values if isinstance(values, tuple) else (values,)


def size_of(path: str) -> tuple[int, int]:
    """Return height and width of an upright image by the head of its file; errors are PIL's and the system's."""
    with Image.open(path) as image:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in _ON_THE_SIDE
        return image.size if turned else image.size[::-1]


def decode_all(
    paths: Sequence[str | BinaryIO],
    shape: tuple[int, int, int],
    *,
    told: type[Exception] | tuple[type[Exception], ...] = UndecodableError,
) -> list[Bytes | Exception]:
    """Return each file's image (C, H, W), or the error.

    Files are decoded in parallel threads, one per core; in a loader's worker one after the other, for the workers are
    parallel already.

    Args:
        paths: See `decode`.
        shape: (C, H, W) of the images.
        told: Errors that are returned; others are raised.

    Raises:
        OSError: If a file cannot be read.
    """

    def one(path: str | BinaryIO) -> Bytes | Exception:
        try:
            return decode(path, shape)
        except told as error:
            return error

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # of odd but usable metadata, thousands in ASSIRA
        if get_worker_info() is not None:
            return [one(path) for path in paths]
        with ThreadPoolExecutor(cores()) as pool:
            return list(pool.map(one, paths))


class LazyPixels:
    """Images (C, H, W) in files that are decoded whenever they are read."""

    def __init__(self, paths: Sequence[str | BinaryIO], shape: tuple[int, int, int]) -> None:
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


def cores() -> int:
    """Return the number of cores that this process may run on, at least 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
