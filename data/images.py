"""The base of all image data modules: four disjoint splits, and loaders whose order depends on (seed, epoch) alone."""

from abc import ABC, abstractmethod
from typing import Any, Literal, get_args

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from attacks.checks import at_least, given, one_of
from attacks.errors import InputError
from data.batches import Images, ImageSet, Pixels, as_it_is
from data.decoding.cache import MappedPixels
from data.decoding.decode import cores
from data.splits import SHARES, TEST_SHARE, Splits, divide, shuffled, with_copies_together, with_validation
from data.store.identity import content_digest
from saliency.files import expanded

TrainSplit = Literal["classifier_train", "detector_train"]

_MOST_WORKERS = 8


class ImageData(lightning.LightningDataModule, ABC):
    """Images, labels and positions of a data set in four disjoint splits.

    The splits are classifier_train (classifier, saliency model), detector_train, calibration (clean images for the
    thresholds) and test. A tenth of each training split is held out for validation. They depend on `split_seed`
    alone: every seed of training sees the same ones. A subclass has `shape`, `classes` and `read`.

    Data sets of files keep the copies of an image in one split (`FileData`). Arrays, as those of torchvision and the
    digits, are divided as they are.

    Args:
        root: Folder that data sets lie in, or are downloaded to.
        batch_size: Images per batch and process.
        workers: Processes that load. None: none for images in memory or mapped from a file, which is fastest; one per
            core, at most 8, for images that are decoded anew in each epoch.
        splits: disjoint; or paper: the detectors train on the classifier's images, as in Schut & Gal (2020).
        train_limit: Use only so many training images, drawn at random before they are split; None: all.
        test_limit: Use only so many test images; None: all.
        split_seed: Decides which images are in which split.

    Raises:
        ValueError: If a number is out of its range, or splits is another word.
    """

    shape: tuple[int, int, int]
    classes: int

    def __init__(
        self,
        root: str = "datasets",
        batch_size: int = 128,
        workers: int | None = None,
        splits: Splits = "disjoint",
        train_limit: int | None = None,
        test_limit: int | None = None,
        split_seed: int = 0,
    ) -> None:
        super().__init__()
        one_of(get_args(Splits), splits=splits)
        at_least(0, whole=True, **given(workers=workers))
        at_least(1, whole=True, **given(batch_size=batch_size, train_limit=train_limit, test_limit=test_limit))
        self.root = expanded(root)
        self.batch_size = batch_size
        self.workers = workers
        self.splits = splits
        self.train_limit = train_limit
        self.test_limit = test_limit
        self.split_seed = split_seed
        self.train_split: TrainSplit = "classifier_train"
        self._sets: dict[str, ImageSet] = {}
        self._fingerprint: str | None = None
        self._originals: Tensor | None = None

    @abstractmethod
    def read(self) -> tuple[Pixels, Tensor, Tensor | None]:
        """Return M images (C, H, W) uint8, labels (M,) int64, and (M,) bool that marks the set's own test images.

        Without test images of its own (None), a fifth of the images becomes the test split. Missing files that cannot
        be downloaded are a FileNotFoundError that names the folders it looked in.
        """

    def setup(self, stage: str | None = None) -> None:  # noqa: ARG002 - Lightning's signature
        """Read and split once; further calls change nothing."""
        if self._sets:
            return
        pixels, labels, is_test = self.read()
        parts = self._divide(len(labels), is_test)
        self._whole = pixels, labels
        self._sets = {name: ImageSet(pixels, labels[rows], rows) for name, rows in parts.items()}

    def fingerprint(self) -> str:
        """Return a hex digest of the whole set's images and labels; splits and limits do not change it."""
        self.setup()
        if self._fingerprint is None:
            self._fingerprint = content_digest(*self._whole)
        return self._fingerprint

    def split(self, name: str) -> ImageSet:
        """Return a split: classifier_train, detector_train (both also with _validation), calibration or test."""
        self.setup()
        return self._sets[name]

    def train_dataloader(self) -> DataLoader[Images]:
        """Return shuffled batches of the training split."""
        return self.loader(self.train_split, shuffle=True)

    def val_dataloader(self) -> DataLoader[Images]:
        """Return the held-out tenth of the training split."""
        return self.loader(f"{self.train_split}_validation")

    def calibration_dataloader(self) -> DataLoader[Images]:
        """Return the clean calibration images."""
        return self.loader("calibration", shard=False)

    def test_dataloader(self) -> DataLoader[Images]:
        """Return the test images."""
        return self.loader("test")

    def predict_dataloader(self) -> DataLoader[Images]:
        """Return the test images."""
        return self.test_dataloader()

    def loader(
        self, split: str, *, shuffle: bool = False, shard: bool = True, pairs: Dataset[Any] | None = None
    ) -> DataLoader[Any]:
        """Return batches of a split.

        Args:
            split: Name of the split.
            shuffle: Whether to shuffle in each epoch; the order depends on the fit's seed and the epoch alone.
            shard: Whether each process gets a share; otherwise each gets all batches.
            pairs: Loaded in place of the images: one item for each, in the split's order.
        """
        data = self.split(split) if pairs is None else pairs
        trainer = self.trainer
        processes, rank = (trainer.world_size, trainer.global_rank) if trainer is not None and shard else (1, 0)
        sampler: DistributedSampler[Any] | None = None
        if shuffle or processes > 1:
            seed = int(np.random.SeedSequence(torch.initial_seed() % 2**32).generate_state(1)[0])
            sampler = DistributedSampler(data, processes, rank, shuffle=shuffle, seed=seed)
        workers = self.workers
        if workers is None:
            decodes = not isinstance(self.split(split).pixels, Tensor | MappedPixels)
            workers = min(_MOST_WORKERS, cores()) if decodes else 0
        return DataLoader(
            dataset=data,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=workers,
            collate_fn=as_it_is,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=workers > 0,
            generator=torch.Generator().manual_seed(0),  # its draws name workers only; keeps the global state as it is
        )

    def _divide(self, count: int, is_test: Tensor | None) -> dict[str, Tensor]:
        order = shuffled(count, self.split_seed)
        originals = self._originals
        if originals is not None:
            order = with_copies_together(order, originals)
        if is_test is None:
            parts = divide(order, {"train": 1 - TEST_SHARE, "test": TEST_SHARE}, originals)
            train, test = parts["train"], parts["test"]
        else:
            train, test = order[~is_test[order]], order[is_test[order]]
            if originals is not None:
                train = train[~torch.isin(originals[train], originals[test])]
        if len(test) == 0:
            msg = (
                f"{type(self).__name__} has a place for test images of its own, but none that can be used: add some, "
                "or remove their folder"
            )
            raise InputError(msg)
        train, test = train[: self.train_limit], test[: self.test_limit]
        if self.splits == "disjoint":
            parts = divide(train, SHARES, originals)
        else:
            calibration = SHARES["calibration"]
            parts = divide(train, {"classifier_train": 1 - calibration, "calibration": calibration}, originals)
            parts["detector_train"] = parts["classifier_train"]
        return with_validation(parts, originals) | {"test": test}
