"""What a study of maps has made until its report is written, so that the same command goes on after an interruption."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from attacks import Attack
from attacks.errors import InputTypeError
from data.store.identity import digest, of_code, of_module, of_parameters, of_tensor, versions
from experiments.study.batches import in_batches
from experiments.study.kept_tensors import kept
from experiments.study.study import Study
from saliency import SaliencyMethod

_FOLDER: Final = "unfinished"


class Unfinished:
    """Outputs of a study by batches: those that took long are read from the study's folder, or made and kept there.

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
        *tensors: Tensor | None,
        about: str,
        seed: int | None = None,
        anew: bool = False,
    ) -> Tensor:
        """Return a function's output for the batches of tensors, joined, on the CPU.

        Args:
            of: All that the function computes with: what it returns depends on nothing else.
            function: Takes a batch of each tensor, and returns a tensor with as many rows.
            tensors: (M, ...) each, or None.
            about: Text beside the progress bar.
            seed: Seed of its random numbers.
            anew: Whether the output is made even if it is kept.
        """

        def make() -> dict[str, Tensor]:
            options: dict[str, Any] = {"device": self._study.device, "progress": self._study.progress, "about": about}
            return {"values": in_batches(function, *tensors, **options)}

        if self._folder is None or anew or tensors[0] is None:
            return make()["values"]
        try:
            parts = [*map(self._digest, of), *(None if tensor is None else of_tensor(tensor) for tensor in tensors)]
        except InputTypeError:  # a user's own class, which cannot be hashed
            return make()["values"]
        return kept(self._folder, digest([*parts, seed]), len(tensors[0]), make, only_slow=True)["values"]

    def _digest(self, thing: nn.Module | Attack | SaliencyMethod) -> str:
        if id(thing) not in self._digests:
            options = of_module(thing) if isinstance(thing, nn.Module) else of_parameters(thing)
            self._digests[id(thing)] = thing, digest([options, of_code(thing), versions()])
        return self._digests[id(thing)][1]


def forget(report: Path, protocol: str) -> None:
    """Remove what a study has kept, once its report is written."""
    shutil.rmtree(_folder(report, protocol), ignore_errors=True)


def _folder(report: Path, protocol: str) -> Path:
    return report / _FOLDER / protocol
