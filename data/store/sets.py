"""Adversarial images and their explanations, made through the store and read as pairs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from rich.markup import escape
from rich.progress import Progress
from torch import Tensor
from torch.utils.data import Dataset

from attacks import Attack
from attacks.guard import evaluation_mode
from data.batches import Images, ImageSet, Pairs
from data.images import ImageData
from data.pairs import paired, predict
from data.store.identity import of_code, of_module, of_parameters, of_tensor, versions
from data.store.store import Store, StoredSet
from detectors import Classifier
from detectors.explanations import Explanation

Compute = Callable[[Images, Tensor], dict[str, Tensor]]
"""Takes clean images on the device and their rows in the split; returns tensors to keep, by name."""


@dataclass
class Tally:
    """How many different sets were asked for, how many files (shards) they have, and how many this process made."""

    sets: int = 0
    shards: int = 0
    made: int = 0
    _keys: set[str] = field(default_factory=set)

    def add(self, stored: StoredSet, made: int) -> None:
        """Count a set; one that was counted before adds nothing."""
        if stored.key not in self._keys:
            self._keys.add(stored.key)
            self.sets += 1
            self.shards += stored.shards
            self.made += made

    def __str__(self) -> str:
        return f"{self.sets} sets, {self.shards} shards: {self.shards - self.made} found, {self.made} made"


class StoredPairs(Dataset[Pairs]):
    """Pairs of a split that were made before; whole batches are read at once.

    Args:
        images: The clean images.
        adversarial: The result of `AdversarialSets.attacked`.
        explanations: Those of the clean and of the adversarial images; None: pairs carry none.
    """

    def __init__(
        self, images: ImageSet, adversarial: StoredSet, explanations: tuple[StoredSet, StoredSet] | None = None
    ) -> None:
        self.images = images
        self.adversarial = adversarial
        self.explanations = explanations

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.images)

    def __getitems__(self, rows: list[int]) -> Pairs:
        """Return a batch; the data loader calls this with the rows of one."""
        chosen = torch.as_tensor(rows)
        adversarial, before, after = (self.adversarial.read(name, chosen) for name in ("images", "before", "after"))
        explanation = None
        if self.explanations is not None:
            explanation = torch.cat([stored.read("values", chosen) for stored in self.explanations])
        return paired(self.images.__getitems__(rows), adversarial, before, after, explanation)

    def __getitem__(self, row: int) -> Pairs:
        """Return one pair as a batch."""
        return self.__getitems__([row])


class AdversarialSets:
    """The sets of a data module's images under attacks on a classifier, in a store.

    Args:
        store: Keeps the sets.
        images: The data module, set up.
        classifier: The attacked classifier.
        device: Where to compute.
        progress: Shows the progress of each set that is made.

    Attributes:
        tally: Counts the files that were found and made.
    """

    def __init__(
        self, store: Store, images: ImageData, classifier: Classifier, device: torch.device, progress: Progress
    ) -> None:
        self.store = store
        self.images = images
        self.classifier = classifier
        self.device = device
        self.progress = progress
        self.tally = Tally()

    def pairs(self, split: str, attack: Attack, explanation: Explanation | None = None) -> StoredPairs:
        """Return the pairs of a split under an untargeted attack, with the explanation of both halves, if any.

        Raises:
            OSError: If the store cannot be written.
            TypeError: If the attack has a hyper-parameter that cannot be hashed.
            ValueError: If a file of the store is damaged or belongs elsewhere.
        """
        adversarial = self.attacked(split, attack)
        both = None
        if explanation is not None:
            both = self.explained(split, explanation), self.explained(split, explanation, attack)
        return StoredPairs(self.images.split(split), adversarial, both)

    def attacked(self, split: str, attack: Attack) -> StoredSet:
        """Return the adversarial images (n, C, H, W) of a split, and the classes (n,) predicted before and after."""
        classifier = self.classifier.to(self.device)

        def compute(batch: Images, _: Tensor) -> dict[str, Tensor]:
            adversarial = attack(classifier, batch.images)
            before, after = (predict(classifier, images) for images in (batch.images, adversarial))
            return {"images": adversarial, "before": before, "after": after}

        about = {
            "kind": "adversarial",
            "attack": repr(attack),
            "parameters": of_parameters(attack),
            "classifier": of_module(self.classifier),
            "code": of_code(attack, self.classifier),
        }
        return self._complete(about, split, compute)

    def explained(self, split: str, explanation: Explanation, attack: Attack | None = None) -> StoredSet:
        """Return the explanation's values (n, c, H, W) for the images of a split; adversarial ones if attacked."""
        adversarial = None if attack is None else self.attacked(split, attack)
        explanation.to(self.device)

        @torch.no_grad()
        def compute(batch: Images, rows: Tensor) -> dict[str, Tensor]:
            images = batch.images if adversarial is None else adversarial.read("images", rows).to(self.device)
            with evaluation_mode(explanation):
                return {"values": explanation(images)}

        about = {
            "kind": type(explanation).__name__.lower(),
            "adversarial": None if adversarial is None else adversarial.key,
            "attack": "none" if attack is None else repr(attack),
            "explanation": of_module(explanation),
            "code": of_code(explanation),
        }
        return self._complete(about, split, compute)

    def _complete(self, about: dict[str, Any], split: str, compute: Compute) -> StoredSet:
        images = self.images.split(split)
        about |= {
            "data": type(self.images).__name__,
            "fingerprint": self.images.fingerprint(),
            "split": split,
            "positions": of_tensor(images.positions),
            "versions": versions(),
        }

        def make(rows: slice) -> Mapping[str, Tensor]:
            cuts = list(range(self.images.batch_size, rows.stop - rows.start, self.images.batch_size))
            parts = [
                compute(Images(*(field.to(self.device) for field in images.__getitems__(part.tolist()))), part)
                for part in torch.arange(rows.start, rows.stop).tensor_split(cuts)
            ]
            return {name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]}

        task = self.progress.add_task(escape(f"{about['kind']}, {about['attack']}, {split}"), total=len(images))
        stored, made = self.store.complete(about, len(images), make, lambda count: self.progress.advance(task, count))
        self.progress.remove_task(task)
        self.tally.add(stored, made)
        return stored
