"""Data sets by torchvision's loaders."""

import inspect
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from attacks.errors import InputError, nearest
from data.decoding.decode import Bytes, cores, fitted
from data.decoding.files import shown
from data.images import ImageData

KNOWN: Final[dict[str, tuple[tuple[int, int, int], int]]] = {
    "MNIST": ((1, 28, 28), 10),
    "FashionMNIST": ((1, 28, 28), 10),
    "KMNIST": ((1, 28, 28), 10),
    "QMNIST": ((1, 28, 28), 10),
    "CIFAR10": ((3, 32, 32), 10),
    "CIFAR100": ((3, 32, 32), 100),
    "SVHN": ((3, 32, 32), 10),
    "STL10": ((3, 96, 96), 10),
    "USPS": ((1, 16, 16), 10),
}
"""Shape and classes of sets that need no more than their name."""

_SPLITS: Final = (("train", "trainval"), ("test", "val"))
"""Values of `split` for training and for test images; the first that a set accepts is used."""


class _TorchvisionData(ImageData):
    """A set of torchvision with one class per image, in memory; downloaded where it is missing.

    A subclass has `name`, `shape` and `classes`.

    Raises:
        FileNotFoundError: While reading, if files are missing and cannot be downloaded.
        ValueError: While reading, if options are refused, or images have another shape, other classes, or no class.
    """

    name: str
    options: Mapping[str, Any] = MappingProxyType({})

    def prepare_data(self) -> None:
        """Download the files that are missing."""
        self._parts()

    def read(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return all images; the set's own test images are marked."""
        contents = [self._contents(part) for part in self._parts()]
        pixels, labels = (torch.cat(tensors) for tensors in zip(*contents, strict=True))
        in_range = labels.min() >= 0 and labels.max() < self.classes
        if tuple(pixels.shape[1:]) != tuple(self.shape) or pixels.dtype != torch.uint8 or not in_range:
            msg = (
                f"{self.name} has images {tuple(pixels.shape[1:])} of {pixels.dtype} with labels up to {labels.max()}"
                f"{' and some without' if labels.min() < 0 else ''}, but shape {tuple(self.shape)}, torch.uint8 and "
                f"{self.classes} classes were asked for: give its own"
            )
            raise InputError(msg)
        return pixels, labels, torch.arange(len(labels)) >= len(contents[0][1]) if len(contents) > 1 else None

    def _parts(self) -> list[Any]:
        """Return the training and the test part; one part alone where the set is not divided."""
        accepted = _accepted(getattr(torchvision.datasets, self.name))
        if "train" in accepted:
            return [self._part("train", (train,)) for train in (True, False)]
        if "split" in accepted:
            return [self._part("split", words) for words in _SPLITS]
        return [self._built({})]

    def _part(self, argument: str, values: tuple[Any, ...]) -> Any:
        """Return the part by the first of the values that the set accepts."""
        *others, last = values
        for value in others:
            try:
                return self._built({argument: value})
            except ValueError:
                continue
        return self._built({argument: last})

    def _built(self, part: Mapping[str, Any]) -> Any:
        kind = getattr(torchvision.datasets, self.name)
        try:
            return kind(self.root, **self.options, **part)
        except (RuntimeError, OSError) as error:  # files are missing
            return self._downloaded(kind, part, error)
        except (TypeError, ValueError) as error:
            msg = f"{self.name} cannot be read with {dict(self.options) | dict(part)}: {_one_line(error)}"
            raise InputError(msg) from error

    def _downloaded(self, kind: Any, part: Mapping[str, Any], missing: Exception) -> Any:
        try:
            if "download" not in _accepted(kind):
                raise missing
            return kind(self.root, download=True, **self.options, **part)
        except (RuntimeError, OSError, ValueError) as error:
            folder = getattr(kind, "base_folder", f"{kind.__name__}/raw" if hasattr(kind, "raw_folder") else "")
            msg = shown(
                f"{self.name} is not in {Path(self.root).resolve() / folder}, or not all of it, and downloading it "
                f"failed ({_one_line(error)}): put its files there as torchvision names them, or give the folder above "
                "as --data.root (--data.images.root for a detector)"
            )
            raise FileNotFoundError(msg) from error

    def _contents(self, part: Any) -> tuple[Tensor, Tensor]:
        """Return images (M, C, H, W) and labels (M,) of a part: its arrays, or else its items one by one."""
        pixels, labels = getattr(part, "data", None), getattr(part, "targets", getattr(part, "labels", None))
        if isinstance(pixels, Tensor | np.ndarray) and labels is not None:
            return _channels_first(torch.as_tensor(pixels), tuple(self.shape)), _first_column(torch.as_tensor(labels))
        images: NDArray[np.uint8] = np.empty((len(part), *self.shape), np.uint8)
        classes = torch.empty(len(part), dtype=torch.int64)
        with ThreadPoolExecutor(cores()) as pool:
            for row, (image, label) in enumerate(pool.map(lambda row: self._item(part, row), range(len(part)))):
                images[row], classes[row] = image, label
        return torch.from_numpy(images), classes

    def _item(self, part: Any, row: int) -> tuple[Bytes, int]:
        try:
            item = part[row]
        except Exception as error:  # decoders fail in arbitrary ways on broken files
            msg = f"image {row} of {self.name} cannot be read ({_one_line(error)}): repair its file or get it again"
            raise InputError(shown(msg)) from error
        match item:
            case (Image.Image() as image, int() | np.integer() | Tensor(shape=()) as label):
                return fitted(image, self.shape), int(label)
        kinds = " and ".join(type(part).__name__ for part in item) if isinstance(item, tuple) else type(item).__name__
        msg = (
            f"{self.name} gives {kinds} in place of an image and the number of its class: use a set of torchvision for "
            "classification whose training and test images are labelled"
        )
        raise InputError(msg)


class Torchvision(_TorchvisionData):
    """Any set of torchvision for classification, by the name of its class, in memory.

    SVHN is `--data.class_path data.Torchvision --data.name SVHN`. Test images are those of `train=False`, or of
    `split=test` (`val` if there is no such split); if a set has neither argument, as EuroSAT, a fifth becomes the test
    split. Images in files are scaled to `shape` as `ImageFolder` does, and decoded in each run: for large sets,
    `ImageFolder` on the folder is faster.

    Args:
        name: Name of a class in torchvision.datasets, for example SVHN, KMNIST, CIFAR100, Flowers102.
        shape: (C, H, W) of its images; None: known by name (MNIST, FashionMNIST, KMNIST, QMNIST, CIFAR10, CIFAR100,
            SVHN, STL10, USPS).
        classes: Number of its classes; None: known by name.
        options: Further arguments of the class, for example {split: letters} of EMNIST.
        kwargs: See `ImageData`.

    Raises:
        ValueError: If there is no such set, it cannot be used, or shape and classes are not known.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, int, int] | None = None,
        classes: int | None = None,
        options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        kind = getattr(torchvision.datasets, name, None)
        if not inspect.isclass(kind) or not {"train", "split", "download"} & _accepted(kind):
            msg = (
                "name must be a set of torchvision.datasets that takes train, split or download, for example "
                f"{', '.join(KNOWN)}, got {name!r}{nearest(name, torchvision.datasets.__all__)}"
            )
            raise InputError(msg)
        known_shape, known_classes = KNOWN.get(name, (None, None))
        shape, classes = shape or known_shape, classes or known_classes
        if shape is None or classes is None:
            msg = (
                f"shape and classes are known for {', '.join(KNOWN)} only: give both for {name}, as [1, 28, 28] and 10"
            )
            raise InputError(msg)
        self.name = name
        self.shape = shape
        self.classes = classes
        self.options = options or {}


class FashionMNIST(_TorchvisionData):
    """60,000 + 10,000 grey pictures of clothes, 28x28; downloaded where there is internet.

    Args:
        root: Folder that holds `FashionMNIST/raw`, or that it is downloaded to.

    Reference:
        Xiao, Rasul, Vollgraf, arXiv 1708.07747.
    """

    name = "FashionMNIST"
    shape, classes = KNOWN[name]


class CIFAR10(_TorchvisionData):
    """50,000 + 10,000 colour photographs of 32x32 pixels in ten classes; downloaded where there is internet.

    Args:
        root: Folder that holds `cifar-10-batches-py`, or that it is downloaded to.

    Reference:
        Krizhevsky, "Learning multiple layers of features from tiny images" (2009).
    """

    name = "CIFAR10"
    shape, classes = KNOWN[name]


class MNIST(_TorchvisionData):
    """60,000 + 10,000 handwritten digits of 28x28 pixels; downloaded where there is internet.

    Args:
        root: Folder that holds `MNIST/raw`, or that it is downloaded to.

    Reference:
        LeCun, Cortes, Burges, "The MNIST database of handwritten digits" (1998).
    """

    name = "MNIST"
    shape, classes = KNOWN[name]


def _accepted(kind: type) -> set[str]:
    """Return the arguments that a class and those it inherits from take; QMNIST passes download on to MNIST."""
    return {name for base in kind.__mro__ for name in inspect.signature(base.__init__).parameters}  # type: ignore[misc]


def _channels_first(pixels: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return images (M, H, W), (M, H, W, C) or (M, C, H, W) as the last of these."""
    if pixels.ndim == 3:  # noqa: PLR2004
        return pixels[:, None]
    return pixels if tuple(pixels.shape[1:]) == shape else pixels.permute(0, 3, 1, 2).contiguous()


def _first_column(labels: Tensor) -> Tensor:
    """Return labels (M,) int64; QMNIST has further columns, who wrote the digit and where."""
    return (labels if labels.ndim == 1 else labels[:, 0]).long()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
