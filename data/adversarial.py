"""Pairs of clean and adversarial images: made while training, on its device, or read from a store."""

import logging
import time
from collections.abc import Mapping

import lightning
import torch
from rich.progress import Progress
from torch.utils.data import DataLoader

from attacks import Attack
from data.batches import Images, Pairs
from data.decoding.files import shown
from data.images import ImageData
from data.pairs import PairData, make_pairs
from data.store.sets import AdversarialSets, StoredPairs
from data.store.store import Store
from detectors import Classifier
from detectors.base import ExplainingDetector
from detectors.explanations import Explanation

_log = logging.getLogger(__name__)


class AdversarialData(PairData):
    """Wraps an image data module: batches become pairs [x, x_adv] under an attack on a fixed classifier.

    Failed attacks stay in; `Pairs` marks them. The attack takes the classifier's own predictions as labels.

    Args:
        images: The images; detector_train is used for training, its held-out tenth for validation.
        classifier: The attacked classifier, or the path of its checkpoint.
        attack: The attack of the training and validation pairs.
        test_attacks: Attacks of the test loaders by name; None: the training attack alone, by its class.
        store: Folder of adversarial sets. The sets of a stage are made there once, with the maps or Jacobians of the
            detector, and read in every epoch. None: pairs are made anew in every epoch. Pairs under attacks that need
            the detector are never stored.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        ValueError: If the classifier was made for other images, or an attack is targeted.
    """

    def __init__(
        self,
        images: ImageData,
        classifier: str | Classifier,
        attack: Attack,
        test_attacks: Mapping[str, Attack] | None = None,
        store: str | None = None,
    ) -> None:
        super().__init__(images, classifier, attack, test_attacks)
        self.store = store
        self._stored: dict[tuple[str, int], StoredPairs] = {}

    def setup(self, stage: str | None = None) -> None:
        """Read and split once; make the sets that the stage needs and the store lacks.

        Raises:
            OSError: If the store cannot be written.
            TypeError: If an attack has a hyper-parameter that cannot be hashed.
            ValueError: If a file of the store is damaged or belongs elsewhere.
        """
        super().setup(stage)
        if self.store is not None:
            self._complete(Store(self.store), stage)

    def train_dataloader(self) -> DataLoader[Images] | DataLoader[Pairs]:
        """Return shuffled pairs, or clean batches that become pairs on the device."""
        return self._loader(self.images.train_split, self.attack, shuffle=True)

    def val_dataloader(self) -> DataLoader[Images] | DataLoader[Pairs]:
        """Return pairs, or clean batches that become pairs on the device."""
        return self._loader(f"{self.images.train_split}_validation", self.attack)

    def test_dataloader(self) -> list[DataLoader[Images] | DataLoader[Pairs]]:
        """Return one loader of the test images per test attack."""
        return [self._loader("test", attack) for attack in self.test_attacks.values()]

    def predict_dataloader(self) -> DataLoader[Images] | DataLoader[Pairs]:
        """Return the test images, as pairs under the training attack."""
        return self._loader("test", self.attack)

    def on_after_batch_transfer(self, batch: Images | Pairs, dataloader_idx: int) -> Pairs:
        """Attack a batch on the device it is on, unless it comes from the store."""
        if isinstance(batch, Pairs):
            return batch
        testing = self.trainer is not None and self.trainer.testing
        attack = self.test_attacks[self.test_names[dataloader_idx]] if testing else self.attack
        return make_pairs(self.classifier.to(batch.images.device), attack, batch)

    def _loader(self, split: str, attack: Attack, *, shuffle: bool = False) -> DataLoader[Images] | DataLoader[Pairs]:
        return self.images.loader(split, shuffle=shuffle, pairs=self._stored.get((split, id(attack))))

    def _complete(self, store: Store, stage: str | None) -> None:
        """Make the sets of a stage that are missing."""
        train, validation = self.images.train_split, f"{self.images.train_split}_validation"
        needed = {
            "validate": [(validation, self.attack)],
            "test": [("test", attack) for attack in self.test_attacks.values()],
            "predict": [("test", self.attack)],
        }.get(stage or "", [(train, self.attack), (validation, self.attack)])
        trainer = self.trainer
        stored = [] if _partial(trainer) else [(split, attack) for split, attack in needed if not attack.needs_detector]
        device = torch.device("cpu") if trainer is None else trainer.strategy.root_device
        first = trainer is None or trainer.is_global_zero
        show = first and trainer is not None and trainer.progress_bar_callback is not None
        start = time.perf_counter()
        with Progress(transient=True, disable=not show) as progress:
            sets = AdversarialSets(store, self.images, self.classifier, device, progress)
            for split, attack in stored:
                self._stored[split, id(attack)] = sets.pairs(split, attack, self._explanation())
        if first and stored:
            _log.info("%s: %s (%.1f s)", shown(str(store.folder)), sets.tally, time.perf_counter() - start)

    def _explanation(self) -> Explanation | None:
        """Return the explanation that the Trainer's detector takes; None if it takes none."""
        module = None if self.trainer is None else self.trainer.lightning_module
        return module.explanation if isinstance(module, ExplainingDetector) and module.takes_explanation else None


def _partial(trainer: lightning.Trainer | None) -> bool:
    """Whether a stage uses a part of its batches: no whole set is made for it."""
    if trainer is None:
        return False
    limits = (getattr(trainer, f"limit_{stage}_batches") for stage in ("train", "val", "test", "predict"))
    return bool(trainer.fast_dev_run) or any(limit not in {None, 0, 1.0} for limit in limits)  # type: ignore[attr-defined]
