"""Data sets by torchvision's loaders."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.error import URLError

import torch
import torchvision
from torch import Tensor

from data.decoding.files import shown
from data.images import ImageData
from data.splits import Splits

KNOWN: Final[dict[str, tuple[tuple[int, int, int], int]]] = {
    "MNIST": ((1, 28, 28), 10),
    "FashionMNIST": ((1, 28, 28), 10),
    "KMNIST": ((1, 28, 28), 10),
    "QMNIST": ((1, 28, 28), 10),
    "CIFAR10": ((3, 32, 32), 10),
    "CIFAR100": ((3, 32, 32), 100),
}
"""Shape and classes of sets that need no more than their name."""


class TorchvisionData(ImageData):
    """A set of torchvision with training and test images of one size, in memory; downloaded where it is missing.

    A subclass has `name`, `shape` and `classes`.
    """

    name: str
    options: Mapping[str, Any] = MappingProxyType({})

    def prepare_data(self) -> None:
        """Download the files that are missing.

        Raises:
            FileNotFoundError: If they are missing and cannot be downloaded.
        """
        for train in (True, False):
            self._part(train=train)

    def read(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return all images; the official test images are marked.

        Raises:
            FileNotFoundError: If the files are missing and cannot be downloaded.
            ValueError: If the images are not those of `shape` and `classes`.
        """
        parts = [self._part(train=train) for train in (True, False)]
        pixels = torch.cat([_pixels(part.data) for part in parts])
        labels = torch.cat([_labels(part.targets) for part in parts])
        if tuple(pixels.shape[1:]) != tuple(self.shape) or pixels.dtype != torch.uint8 or labels.max() >= self.classes:
            msg = (
                f"{self.name} has images {tuple(pixels.shape[1:])} of {pixels.dtype} with labels up to {labels.max()}, "
                f"but shape {tuple(self.shape)}, torch.uint8 and {self.classes} classes were asked for: give its own"
            )
            raise ValueError(msg)
        return pixels, labels, torch.arange(len(labels)) >= len(parts[0].data)

    def _part(self, *, train: bool) -> Any:
        kind = getattr(torchvision.datasets, self.name)
        try:
            return kind(self.root, train=train, **self.options)
        except RuntimeError:
            return self._downloaded(kind, train=train)

    def _downloaded(self, kind: Any, *, train: bool) -> Any:
        try:
            return kind(self.root, train=train, download=True, **self.options)
        except (RuntimeError, URLError, OSError) as error:
            folder = getattr(kind, "base_folder", f"{kind.__name__}/raw" if hasattr(kind, "raw_folder") else "")
            reason = " ".join(str(error).split())
            msg = shown(
                f"{self.name} is not in {Path(self.root).resolve() / folder}, or not all of it, and downloading it "
                f"failed ({reason}): put its files there as torchvision names them, or give the folder above as "
                "--data.root (--data.images.root for a detector)"
            )
            raise FileNotFoundError(msg) from error


class Torchvision(TorchvisionData):
    """Any set of torchvision that takes `train` and `download` and has `data` and `targets`, in memory.

    Args:
        name: Of the class in torchvision.datasets, for example FashionMNIST, KMNIST, CIFAR100.
        shape: (C, H, W) of its images; None: known by name (MNIST, FashionMNIST, KMNIST, QMNIST, CIFAR10, CIFAR100).
        classes: Number of its classes; None: known by name.
        options: Further arguments of the class, for example {split: letters} of EMNIST.
        root: Folder that the sets lie in, or are downloaded to.
        batch_size: Images per batch and process.
        workers: Processes that load; None: none, which is fastest for images in memory.
        splits: disjoint or paper; see `ImageData`.
        train_limit: Use only so many training images; None: all.
        test_limit: Use only so many test images; None: all.
        split_seed: Decides which image falls into which split.

    Raises:
        ValueError: If there is no such set, it has another layout, or shape and classes are not known.
    """

    def __init__(
        self,
        name: str,
        shape: tuple[int, int, int] | None = None,
        classes: int | None = None,
        options: dict[str, Any] | None = None,
        root: str = "datasets",
        batch_size: int = 128,
        workers: int | None = None,
        splits: Splits = "disjoint",
        train_limit: int | None = None,
        test_limit: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__(root, batch_size, workers, splits, train_limit, test_limit, split_seed)
        kind = getattr(torchvision.datasets, name, None)
        if not inspect.isclass(kind) or not {"train", "download"} <= _accepted(kind):
            msg = (
                f"name must be a set of torchvision.datasets that takes train and download, for example "
                f"{', '.join(KNOWN)}, got {name!r}"
            )
            raise ValueError(msg)
        known_shape, known_classes = KNOWN.get(name, (None, None))
        shape, classes = shape or known_shape, classes or known_classes
        if shape is None or classes is None:
            msg = (
                f"shape and classes are known for {', '.join(KNOWN)} only: give both for {name}, as [1, 28, 28] and 10"
            )
            raise ValueError(msg)
        self.name = name
        self.shape = shape
        self.classes = classes
        self.options = options or {}


class FashionMNIST(TorchvisionData):
    """60,000 + 10,000 grey pictures of clothes, 28x28; downloaded where there is internet.

    Args:
        root: Folder that holds `FashionMNIST/raw`, or that it is downloaded to.
        batch_size: Images per batch and process.
        workers: Processes that load; None: none, which is fastest for images in memory.
        splits: disjoint or paper; see `ImageData`.
        train_limit: Use only so many training images; None: all.
        test_limit: Use only so many test images; None: all.
        split_seed: Decides which image falls into which split.

    Reference:
        Xiao, Rasul, Vollgraf, arXiv 1708.07747.
    """

    name = "FashionMNIST"
    shape, classes = KNOWN[name]


def _accepted(kind: type) -> set[str]:
    """Return the arguments that a class and those it inherits from take; QMNIST passes download on to MNIST."""
    return {name for each in kind.__mro__ for name in inspect.signature(each.__init__).parameters}  # type: ignore[misc]


def _pixels(data: Any) -> Tensor:
    """Return images (M, H, W) or (M, H, W, C) as (M, C, H, W)."""
    images = torch.as_tensor(data)
    return images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()  # noqa: PLR2004


def _labels(targets: Any) -> Tensor:
    """Return labels (M,) int64; QMNIST has further columns, who wrote the digit and where."""
    labels = torch.as_tensor(targets).long()
    return labels if labels.ndim == 1 else labels[:, 0]


class CIFAR10(TorchvisionData):
    """50,000 + 10,000 colour photographs of 32x32 pixels in ten classes; downloaded where there is internet.

    Args:
        root: Folder that holds `cifar-10-batches-py`, or that it is downloaded to.
        batch_size: Images per batch and process.
        workers: Processes that load; None: none, which is fastest for images in memory.
        splits: disjoint or paper; see `ImageData`.
        train_limit: Use only so many training images; None: all.
        test_limit: Use only so many test images; None: all.
        split_seed: Decides which image falls into which split.

    Reference:
        Krizhevsky, "Learning multiple layers of features from tiny images" (2009).
    """

    name = "CIFAR10"
    shape, classes = KNOWN[name]


class MNIST(TorchvisionData):
    """60,000 + 10,000 handwritten digits of 28x28 pixels; downloaded where there is internet.

    Args:
        root: Folder that holds `MNIST/raw`, or that it is downloaded to.
        batch_size: Images per batch and process.
        workers: Processes that load; None: none, which is fastest for images in memory.
        splits: disjoint or paper; see `ImageData`.
        train_limit: Use only so many training images; None: all.
        test_limit: Use only so many test images; None: all.
        split_seed: Decides which image falls into which split.

    Reference:
        LeCun, Cortes, Burges, "The MNIST database of handwritten digits" (1998).
    """

    name = "MNIST"
    shape, classes = KNOWN[name]
