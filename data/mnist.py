"""MNIST, by torchvision's loader."""

from pathlib import Path
from typing import ClassVar
from urllib.error import URLError

import torch
import torchvision
from torch import Tensor

from data.images import ImageData


class MNIST(ImageData):
    """60,000 + 10,000 handwritten digits of 28x28 pixels; downloaded where there is internet.

    Args:
        root: Folder that holds `MNIST/raw`, or that it is downloaded to.
        batch_size: Images per batch and process.
        workers: Processes that load.
        splits: disjoint or paper; see `ImageData`.
        train_limit: Use only so many training images; None: all.
        test_limit: Use only so many test images; None: all.
        split_seed: Decides which image falls into which split.

    Reference:
        LeCun, Cortes, Burges, "The MNIST database of handwritten digits" (1998).
    """

    shape: ClassVar[tuple[int, int, int]] = (1, 28, 28)
    classes: ClassVar[int] = 10

    def prepare_data(self) -> None:
        """Download the files that are missing.

        Raises:
            FileNotFoundError: If they are missing and cannot be downloaded.
        """
        for train in (True, False):
            try:
                torchvision.datasets.MNIST(self.root, train=train)
            except RuntimeError:
                self._download(train=train)

    def read(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return all images; the official test images are marked."""
        self.prepare_data()
        train = torchvision.datasets.MNIST(self.root, train=True)
        test = torchvision.datasets.MNIST(self.root, train=False)
        is_test = torch.arange(len(train) + len(test)) >= len(train)
        return torch.cat([train.data, test.data])[:, None], torch.cat([train.targets, test.targets]), is_test

    def _download(self, *, train: bool) -> None:
        try:
            torchvision.datasets.MNIST(self.root, train=train, download=True)
        except (RuntimeError, URLError, OSError) as error:
            looked = Path(self.root).resolve() / "MNIST" / "raw"
            msg = (
                f"MNIST is not in {looked}, and downloading it failed ({error}): put its four idx files there, or "
                "give the folder above MNIST/ as --data.root (--data.images.root for a detector)"
            )
            raise FileNotFoundError(msg) from error
