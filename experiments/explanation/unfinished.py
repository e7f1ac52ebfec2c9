"""What a study of maps has made until its report is written, so that the same command goes on after an interruption."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from attacks import Attack
from attacks.errors import InputTypeError
from data.store.identity import digest, of_code, of_module, of_parameters, of_tensor
from experiments.study.batches import BATCH, in_batches
from experiments.study.kept_tensors import kept
from experiments.study.ranks import processes
from experiments.study.study import Study, package_versions
from saliency import SaliencyMethod

_FOLDER: Final = "unfinished"


class Unfinished:
    """Outputs of a study: those that took long are read from the study's folder, or made and kept there.

    Args:
        study: Of a run; without a store nothing is kept.
        protocol: The name of the report's files.
    """

    def __init__(self, study: Study, protocol: str) -> None:
        self._study = study
        self._folder = None if study.run.store() is None else _folder(study.run.report, protocol)
        self._digests: dict[int, tuple[object, str]] = {}

    def outputs(
        self,
        of: tuple[nn.Module | Attack | SaliencyMethod, ...],
        function: Callable[..., Tensor],
        images: Tensor,
        *others: Tensor | None,
        about: str,
        seed: int | None = None,
        anew: bool = False,
    ) -> Tensor:
        """Return a function's output for the batches of tensors, joined, on the CPU.

        Args:
            of: All that the function computes with, beside the tensors and the seed.
            function: Takes a batch of each tensor, and returns a tensor with as many rows.
            images: (M, C, H, W).
            others: (M, ...) each, or None.
            about: Text beside the progress bar.
            seed: Seed of its random numbers.
            anew: Whether the output is neither read nor kept.
        """
        options: dict[str, Any] = {"device": self._study.device, "progress": self._study.progress}
        folder, key = self._folder, None if anew else self._key(of, seed)
        if folder is None or key is None:
            return in_batches(function, images, *others, **options, about=about)
        size, found = BATCH * processes(), []
        for start in range(0, max(len(images), 1), size):  # a block is kept as soon as it is made
            block = [None if tensor is None else tensor[start : start + size] for tensor in (images, *others)]
            of_block = digest([key, *(None if tensor is None else of_tensor(tensor) for tensor in block)])
            text = about if len(images) <= size else f"{about}, {start + 1} of {len(images)}"
            make = partial(_made, function, *block, **options, about=text)
            found.append(kept(folder, of_block, min(size, len(images) - start), make, only_slow=True)["values"])
        return torch.cat(found)

    def _key(self, of: tuple[nn.Module | Attack | SaliencyMethod, ...], seed: int | None) -> str | None:
        """Return a digest of what a function computes with; None if a part of it cannot be hashed."""
        try:
            parts = [self._digest(part) for part in of]
        except InputTypeError:
            return None
        return digest([parts, seed, self._study.device.type, package_versions()])

    def _digest(self, part: nn.Module | Attack | SaliencyMethod) -> str:
        if id(part) not in self._digests:
            contents = of_module(part) if isinstance(part, nn.Module) else _options(part)
            self._digests[id(part)] = part, digest([contents, of_code(part)])
        return self._digests[id(part)][1]


def _made(function: Callable[..., Tensor], *tensors: Tensor | None, **options: Any) -> dict[str, Tensor]:
    return {"values": in_batches(function, *tensors, **options)}


def _options(method: Attack | SaliencyMethod) -> str:
    if vars(method).keys() - {field.name for field in fields(method)}:
        msg = f"{method!r} holds more than its fields"
        raise InputTypeError(msg)
    return of_parameters(method)


def forget(report: Path, protocol: str) -> None:
    """Remove what a study has kept, once its report is written."""
    folder = _folder(report, protocol)
    for path in [*folder.glob("*.pt"), *folder.glob("*.tmp")]:
        path.unlink(missing_ok=True)
    with suppress(OSError):  # there is none, or another study is unfinished
        folder.rmdir()
        folder.parent.rmdir()


def _folder(report: Path, protocol: str) -> Path:
    return report / _FOLDER / protocol
