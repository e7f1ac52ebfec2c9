"""Detectors that are fitted to the clean images of a run, and kept."""

from pathlib import Path

import torch
from torch import nn

from attacks.errors import InputError, InputTypeError
from data import ImageData
from data.store.identity import digest, of_code, of_module, of_tensor, versions
from saliency.checkpoints import Portable, describe, load_weights, save

SPLIT = "detector_train"
"""Whose images they are fitted to, those that detectors are trained on."""


def fit_to_clean(name: str, detector: nn.Module, data: ImageData, folder: Path) -> None:
    """Fit a detector that has a method `fit` to clean images; any other is left as it is.

    One that a checkpoint can hold is kept, and fitted once. Random numbers are drawn from a fixed seed.

    Args:
        name: In the pipeline file.
        detector: On the device; fitted in place.
        data: Of the run.
        folder: Where fitted detectors are kept, as `<name>-<digest>.ckpt`.

    Raises:
        ValueError: If it cannot be fitted.
    """
    if not hasattr(detector, "fit"):
        return
    path = folder / f"{name}-{_digest(detector, data)}.ckpt" if _can_be_kept(detector) else None
    if path is not None and path.is_file():
        load_weights(detector, path)  # type: ignore[arg-type]
        return
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            detector.fit(data.loader(SPLIT, shard=False))  # type: ignore[operator]
    except InputError as error:
        msg = f"{name} cannot be fitted: {error}"
        raise InputError(msg) from error
    except Exception as error:  # a user's own may raise anything
        msg = f"{name} cannot be fitted to the clean images ({type(error).__name__}: {error}): mend its method fit"
        raise InputError(msg) from error
    if path is not None:
        save(detector, path)  # type: ignore[arg-type]


def _can_be_kept(detector: nn.Module) -> bool:
    """Return whether a checkpoint can hold a detector; not one beside somebody's own network."""
    try:
        return isinstance(detector, Portable) and bool(describe(detector))
    except InputTypeError:
        return False


def _digest(detector: nn.Module, data: ImageData) -> str:
    """Return a digest of all that a fitted detector depends on."""
    images = [data.fingerprint(), of_tensor(data.split(SPLIT).positions)]
    return digest([of_module(detector), of_code(detector), images, versions()])
