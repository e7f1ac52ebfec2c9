"""Detectors that are fitted to the images of a run outside of its pipeline, and kept."""

import inspect
import logging
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

from attacks import Attack
from attacks.errors import InputError, InputTypeError
from data import ImageData
from data.store.identity import digest, of_code, of_module, of_parameters, of_tensor, versions
from data.store.sets import StoredPairs
from detectors import Detector
from experiments.study.ranks import RankError, first, gather, rank
from experiments.study.training_pairs import SPLIT
from saliency.checkpoints import Portable, describe, load_weights, read, save

EPOCHS = 6
"""Of a trained detector that is named by its class, outside of a pipeline."""


@dataclass(frozen=True)
class FitImages:
    """What detectors are fitted to.

    Attributes:
        attack: Makes the adversarial images of the pairs.
        pairs: Returns the pairs; called where a detector asks for them.
    """

    data: ImageData
    attack: Attack
    pairs: Callable[[], StoredPairs]

    def clean(self) -> DataLoader:  # type: ignore[type-arg]
        """Return batches of clean images and labels."""
        return self.data.loader(SPLIT, shard=False)

    def paired(self, *, shuffle: bool = False) -> DataLoader:  # type: ignore[type-arg]
        """Return batches of pairs."""
        return self.data.loader(SPLIT, shuffle=shuffle, shard=False, pairs=self.pairs())


def takes_pairs(detector: nn.Module) -> bool:
    """Return whether a detector learns from adversarial images: it is a trained one, or its `fit` takes `pairs`."""
    fit = getattr(detector, "fit", None)
    return isinstance(detector, Detector) or (fit is not None and "pairs" in inspect.signature(fit).parameters)


def fit_detector(name: str, detector: nn.Module, images: FitImages, folder: Path) -> float | None:
    """Fit a detector, and return the seconds that it took; None if it has no `fit`.

    A trained detector (`detectors.Detector`) is trained on pairs, `EPOCHS` epochs. A detector with a method
    `fit(clean)`, or `fit(clean, pairs)`, gets batches of clean images and of pairs. One that a checkpoint can hold is
    kept, and fitted once. Random numbers are drawn from a fixed seed.

    Args:
        name: In the tables.
        detector: On the device; fitted in place.
        images: The images that it is fitted to.
        folder: Where fitted detectors are kept, as `<name>-<digest>.ckpt`.

    Raises:
        ValueError: If it cannot be fitted.
    """
    if not isinstance(detector, Detector) and not hasattr(detector, "fit"):
        return None
    if not _can_be_kept(detector):
        return _fitted_everywhere(name, detector, images)
    path = folder / f"{name}-{_digest(detector, images)}.ckpt"

    def kept() -> float | None:
        """Return the seconds of a fit that is made here; None if it was made before."""
        if path.is_file():
            return None
        seconds = _fitted(name, detector, images)
        save(detector, path, seconds=seconds)  # type: ignore[arg-type]
        return seconds

    made = first(kept)
    if made is None or rank():
        load_weights(detector, path)  # type: ignore[arg-type]
        seconds: float | None = read(path).get("seconds")
        return seconds
    return made


def _fitted_everywhere(name: str, detector: nn.Module, images: FitImages) -> float:
    """Fit a detector that cannot be sent or kept, in each process alike, and return the first one's seconds.

    Raises:
        ValueError: If the fits differ.
    """
    seconds = _fitted(name, detector, images)
    results = gather((of_module(detector), seconds), f"{name} is fitted")
    if len({weights for weights, _ in results}) > 1:
        msg = (
            f"{name} got other weights in each process: let its method fit draw its random numbers from torch, or "
            "start one process"
        )
        raise InputError(msg)
    return results[0][1]


def _fitted(name: str, detector: nn.Module, images: FitImages) -> float:
    """Fit a detector, and return the seconds that it took."""
    start = time.perf_counter()
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            _fit(detector, images)
    except RankError:
        raise
    except InputError as error:
        msg = f"{name} cannot be fitted: {error}"
        raise InputError(msg) from error
    except Exception as error:  # a user's own may raise anything
        msg = f"{name} cannot be fitted to the clean images ({type(error).__name__}: {error}): mend its method fit"
        raise InputError(msg) from error
    return time.perf_counter() - start


def _fit(detector: nn.Module, images: FitImages) -> None:
    if isinstance(detector, Detector):
        _train(detector, images.paired(shuffle=True))
    elif takes_pairs(detector):
        detector.fit(images.clean(), pairs=images.paired())  # type: ignore[operator]
    else:
        detector.fit(images.clean())  # type: ignore[operator]


def _train(detector: Detector, pairs: DataLoader) -> None:  # type: ignore[type-arg]
    """Train a detector on pairs where its weights are, without files and logs."""
    import lightning  # noqa: PLC0415 - it takes seconds

    device = next(detector.parameters()).device
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            places = [device.index or 0] if device.type == "cuda" else 1
            trainer = lightning.Trainer(accelerator=device.type, devices=places, max_epochs=EPOCHS, barebones=True)
            trainer.fit(detector, train_dataloaders=pairs)
    finally:
        logger.setLevel(level)
    detector.trainer = None
    detector.to(device).eval()


def _can_be_kept(detector: nn.Module) -> bool:
    """Return whether a checkpoint can hold a detector; not one beside somebody's own network."""
    try:
        return isinstance(detector, Portable) and bool(describe(detector))
    except InputTypeError:
        return False


def _digest(detector: nn.Module, images: FitImages) -> str:
    """Return a digest of all that a fitted detector depends on."""
    seen = [images.data.fingerprint(), of_tensor(images.data.split(SPLIT).positions)]
    of_pairs = [of_parameters(images.attack), of_code(images.attack)] if takes_pairs(detector) else []
    return digest([of_module(detector), of_code(detector), seen, *of_pairs, versions()])
