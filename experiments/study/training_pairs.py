"""The pairs to which detectors are fitted that see attacks, outside of a pipeline."""

from typing import cast

import torch
from rich.progress import Progress
from torch import Tensor

from attacks import Attack
from data import ImageData
from data.store.sets import AdversarialSets, StoredPairs
from data.store.store import Store, StoredSet
from detectors import Classifier
from experiments.study.batches import under_attack

SPLIT = "detector_train"
"""Whose images detectors are fitted to, those that detectors are trained on."""


class _InMemory:
    """Tensors (M, ...) by name, read as a stored set is."""

    def __init__(self, columns: dict[str, Tensor]) -> None:
        self._columns = columns

    def read(self, name: str, rows: Tensor) -> Tensor:
        """Return some rows of a tensor."""
        return self._columns[name][rows]


def training_pairs(
    data: ImageData,
    classifier: Classifier,
    attack: Attack,
    device: torch.device,
    progress: Progress,
    store: Store | None,
) -> StoredPairs:
    """Return pairs of the images that detectors are trained on; read from a store, or made and held in memory.

    Args:
        data: The images.
        classifier: The attacked classifier, on the device.
        attack: Makes the adversarial images.
        device: Where to attack.
        progress: Shows the progress of long steps.
        store: The store of adversarial sets, if the run has one.
    """
    if store is not None:
        return AdversarialSets(store, data, classifier, device, progress).pairs(SPLIT, attack, None)
    images = data.split(SPLIT)
    clean = images.__getitems__(list(range(len(images)))).images
    options = {"device": device, "size": data.batch_size, "progress": progress, "about": "pairs to fit to"}
    parts = under_attack(attack, classifier, clean, **options)
    columns = (torch.cat(column) for column in zip(*parts, strict=True))
    pairs = _InMemory(dict(zip(("images", "before", "after"), columns, strict=True)))
    return StoredPairs(images, cast("StoredSet", pairs))
