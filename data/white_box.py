"""Pairs of clean and adversarial images under an attack that sees the detector while it trains."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Generator
from torch.utils.data import DataLoader

from attacks import Attack
from attacks.checks import at_least
from attacks.errors import InputError
from attacks.guard import evaluation_mode
from data.batches import Images, Pairs
from data.images import ImageData
from data.pairs import PairData, make_pairs
from detectors import Classifier, Thresholded
from detectors.base import ExplainingDetector
from saliency.training import seeded


class WhiteBoxData(PairData):
    """Wraps an image data module: batches become pairs [x, x_adv] under an attack on the live detector.

    The attack sees the detector that the Trainer trains, validates or tests as it is at that moment, at its threshold
    of probability .5; nothing is stored. An epoch is a round: each of its mini-batches is attacked once and trained on
    `repeats` times before the next one is attacked. With 10 repeats of 40 mini-batches of 150 images and 10 epochs this
    is the retraining of Schut & Gal (2020); with 1 repeat of all mini-batches and `attacks.Joint(weights=None)` the
    dynamic adversary of Metzen et al., arXiv 1702.04267.

    The attack's random numbers in training derive from (seed, round, image). It takes the classifier's own predictions
    as labels. Failed attacks stay in; `Pairs` marks them.

    Args:
        images: The images; detector_train is used for training, its held-out tenth for validation.
        classifier: The attacked classifier, or the path of its checkpoint: the same as the detector's.
        attack: The attack of all pairs; it may ignore the detector.
        repeats: How often each attacked mini-batch is trained on, at least 1.
        batches: Mini-batches of a round and process, at least 1; None, or more than there are: the whole split.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        ValueError: If a number is out of its range, the classifier was made for other images, or the attack is
            targeted.
    """

    def __init__(
        self,
        images: ImageData,
        classifier: str | Classifier,
        attack: Attack,
        repeats: int = 1,
        batches: int | None = None,
    ) -> None:
        super().__init__(images, classifier, attack)
        at_least(1, repeats=repeats, batches=1 if batches is None else batches)
        self.repeats = repeats
        self.batches = batches
        self._attacked: tuple[Any, Pairs | None] = (None, None)

    def setup(self, stage: str | None = None) -> None:
        """Read and split once; refuse a detector of another classifier.

        Raises:
            ValueError: If the detector's classifier has other weights.
        """
        super().setup(stage)
        inner = None if self.trainer is None else getattr(self.trainer.lightning_module, "classifier", None)
        if isinstance(inner, Classifier) and not _same(inner, self.classifier):
            msg = (
                "the detector looks through another classifier than data.classifier: give both the same checkpoint, "
                "the one that the detector was trained with"
            )
            raise InputError(msg)

    def train_dataloader(self) -> "Repeated":
        """Return a round: shuffled clean batches, each repeated, that become pairs on the device."""
        loader = self.images.loader(self.images.train_split, shuffle=True)
        return Repeated(loader, self.repeats, self.batches)

    def val_dataloader(self) -> DataLoader[Images]:
        """Return clean batches that become pairs on the device."""
        return self.images.loader(f"{self.images.train_split}_validation")

    def test_dataloader(self) -> DataLoader[Images]:
        """Return the test images, which become pairs on the device."""
        return self.images.loader("test")

    def predict_dataloader(self) -> DataLoader[Images]:
        """Return the test images, which become pairs on the device."""
        return self.test_dataloader()

    def on_before_batch_transfer(self, batch: Images, dataloader_idx: int) -> Images | Pairs:  # noqa: ARG002
        """Return a repeated training batch as the pairs that it became the first time."""
        if self.trainer is None or not self.trainer.training:
            return batch
        known, pairs = self._attacked
        if batch.positions is known and pairs is not None:  # precision plug-ins replace the tuple, never its integers
            return pairs
        self._attacked = batch.positions, None
        return batch

    def on_after_batch_transfer(self, batch: Images | Pairs, dataloader_idx: int) -> Pairs:  # noqa: ARG002
        """Attack a batch on its device, unless it is a repeated one.

        Raises:
            ValueError: If no Trainer has a detector.
        """
        if self.trainer is None:
            msg = "WhiteBoxData attacks the detector of a Trainer: give it to one as datamodule, got no Trainer"
            raise InputError(msg)
        if isinstance(batch, Pairs):
            return batch
        if not self.trainer.training:
            return self._pairs(batch)
        words = torch.initial_seed() % 2**32, self.trainer.current_epoch
        pairs = self._explained(self._pairs(batch, seeded(*words)))
        self._attacked = self._attacked[0], pairs
        return pairs

    def _pairs(self, batch: Images, generator: Generator | None = None) -> Pairs:
        live = self.trainer.lightning_module  # type: ignore[union-attr]  # never a wrapper, as that of DDP
        inner = getattr(live, "classifier", None)
        # the detector's own classifier, of equal weights: a detector shares its pass only with that one
        classifier = inner if isinstance(inner, Classifier) else self.classifier.to(batch.images.device)
        return make_pairs(classifier, self.attack, batch, Thresholded(live), generator)

    @torch.no_grad()
    def _explained(self, pairs: Pairs) -> Pairs:
        """Return pairs with the detector's explanation of them, where they are trained on repeatedly."""
        live = self.trainer.lightning_module  # type: ignore[union-attr]
        if self.repeats == 1 or not (isinstance(live, ExplainingDetector) and live.takes_explanation):
            return pairs
        explanation = live.explanation
        with evaluation_mode(explanation):
            return pairs._replace(explanation=explanation(pairs.images))


class Repeated:
    """A round of a data loader: its first batches (None: all), each repeated as the same object.

    It is no `DataLoader`, so that Lightning leaves it as it is; Lightning tells `sampler` the epoch.
    """

    def __init__(self, loader: DataLoader[Images], repeats: int, batches: int | None) -> None:
        self.loader = loader
        self.repeats = repeats
        self.batches = batches
        self.sampler = loader.sampler

    def __len__(self) -> int:
        """Return the number of batches, repeats counted."""
        count = len(self.loader)
        return self.repeats * (count if self.batches is None else min(count, self.batches))

    def __iter__(self) -> Iterator[Images]:
        """Yield the batches."""
        for batch in itertools.islice(self.loader, self.batches):
            yield from itertools.repeat(batch, self.repeats)


def _same(first: Classifier, second: Classifier) -> bool:
    """Whether two classifiers have equal weights."""
    one, other = first.state_dict(), second.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name].cpu(), other[name].cpu()) for name in one)
