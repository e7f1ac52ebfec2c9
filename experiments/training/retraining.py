"""The retraining of a pipeline: detectors go on against an attack that sees them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from attacks import Attack
from data.pairs import refuse_targeted

ROUNDS: Final = 10
"""Of the paper, where the file gives no max_epochs."""


@dataclass(frozen=True)
class Retraining:
    """The section `retrain` of a pipeline file; see `data.WhiteBoxData`.

    Attributes:
        attack: What sees the live detector.
        start: Name of the training attack whose detectors it begins with; None: the first of train_on.
        detectors: Names of the detectors that are retrained; None: all.
        repeats: How often each attacked mini-batch is trained on, at least 1; 10 in the paper.
        batches: Mini-batches of a round, at least 1; 40 in the paper; None: the whole split.
        data: Options of the images over those of the file and of the detector's entry, as a `fit` config has them.
        trainer: Trainer flags over those of the file; 10 epochs, each a round, unless given.
    """

    attack: Attack
    start: str | None = None
    detectors: list[str] | None = None
    repeats: int = 10
    batches: int | None = 40
    data: dict[str, Any] | None = None
    trainer: dict[str, Any] | None = None

    def check(self, train_on: Sequence[str], detectors: Sequence[str]) -> None:
        """Refuse what does not fit the rest of the file.

        Args:
            train_on: Names of the attacks that detectors are trained on.
            detectors: Names of the detectors.

        Raises:
            ValueError: If a name is unknown, a number out of its range or the attack targeted.
        """
        refuse_targeted(self.attack)
        if self.start is not None and self.start not in train_on:
            msg = f"retrain.start is {self.start}, but detectors are trained on {', '.join(train_on)} only: name one"
            raise ValueError(msg)
        named = list(detectors) if self.detectors is None else self.detectors
        unknown = sorted(set(named) - set(detectors))
        if unknown:
            known = ", ".join(detectors) or "none"
            msg = f"retrain.detectors names {', '.join(unknown)}, but detectors has only {known}"
            raise ValueError(msg)
        if not named or len(set(named)) < len(named):
            msg = f"retrain.detectors must name different detectors, at least one, or be null for all; got {named}"
            raise ValueError(msg)
        for name, value in {"repeats": self.repeats, "batches": self.batches}.items():
            if value is not None and value < 1:
                msg = f"retrain.{name} must be at least 1, got {value}"
                raise ValueError(msg)
