"""The cells of the detection matrix with their bootstrap replicates, and contrasts between sets of cells."""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from detectors import metrics
from experiments.results.bootstrap import Resampling, interval
from experiments.study.contenders import Contender
from experiments.study.images import AttackedSet
from experiments.study.metrics import accepted, measure, rate_flagged
from experiments.study.study import Study
from experiments.training.settings import left_out

SUBSETS: Final = ("all", "successful", "failed")

FAMILIES: Final = {
    "FGSM": "linf",
    "BIM": "linf",
    "MIM": "linf",
    "PGD": "linf",
    "DeepFool": "l2",
    "CarliniWagnerL2": "l2",
    "WarmCarliniWagnerL2": "l2",
    "JSMA": "l0",
    "GreedyL0": "l0",
}
"""The norm that an attack of this project bounds or makes small, by its class."""


@dataclass(frozen=True)
class Cell:
    """Where a detector is measured.

    Attributes:
        detector: Its name.
        trained_on: Name of the attack; None for a training-free one.
        tested_on: Name of the attack.
    """

    detector: str
    trained_on: str | None
    tested_on: str


Where = Callable[[Cell], bool]
Area = tuple[float, Tensor]
"""An AUROC, and that of each resample (R,)."""


class Matrix:
    """Every detector under every attack.

    Args:
        study: Of the run.
        resampling: Of the test images.
    """

    def __init__(self, study: Study, resampling: Resampling) -> None:
        self.study = study
        self.resampling = resampling
        self._aurocs: dict[Cell, list[Area]] = {}
        self._against_noise: dict[Cell, list[Area]] = {}
        self._evaded: dict[tuple[str, str | None, int | None], Tensor] = {}

    def rows(self, contender: Contender, under: AttackedSet) -> Iterator[dict[str, Any]]:
        """Yield the records of a detector under an attack, one for each subset, and keep what contrasts need."""
        images = self.study.images
        clean = images.scores(contender.module)
        found = {name: images.scores(contender.module, under, name) for name in ("adversarial", "rounded", "noise")}
        adversarial = found["adversarial"]
        area = self._area(clean, adversarial)
        ends = None if area is None else interval(*area)
        if left_out(contender.trained_on, self.study.attacks) is None:  # contrasts are between those of one attack
            _keep(self._aurocs, _cell(contender, under), area)
            _keep(self._against_noise, _cell(contender, under), self._area(found["noise"], adversarial))
        evaded = under.subsets["successful"] & accepted(contender, adversarial)
        self._note(contender, evaded)
        right = _right(under)
        for subset in SUBSETS:
            chosen, whole = under.subsets[subset], subset == "all"
            yield {
                "detector": contender.name,
                "trained_on": contender.trained_on,
                "tested_on": under.name,
                "seed": contender.seed,
                "subset": subset,
                "n": int(chosen.sum()),
                **measure(contender, clean[chosen], adversarial[chosen]),
                "realised_fpr": rate_flagged(contender, clean),
                "attack_success_rate": under.success_rate,
                "auroc_low": ends.low if whole and ends else None,
                "auroc_high": ends.high if whole and ends else None,
                "auroc_against_noise": metrics.auroc(found["noise"][chosen], adversarial[chosen]),
                "noise_flagged": rate_flagged(contender, found["noise"][chosen]),
                "auroc_rounded": metrics.auroc(clean[chosen], found["rounded"][chosen]),
                "success_at_5_fpr": evaded.sum().item() / right if right and whole else None,
            }

    def add(self, contender: Contender, under: AttackedSet, clean: Tensor, adversarial: Tensor) -> None:
        """Keep scores of a variant of a detector for contrasts alone.

        Args:
            contender: Under a name of its own.
            under: The attack.
            clean: (M,) its scores of the clean images.
            adversarial: (M,) those of their twins.
        """
        _keep(self._aurocs, _cell(contender, under), self._area(clean, adversarial))

    def worst(self) -> dict[tuple[str, str | None], list[float]]:
        """Return, for each detector and seed, the share of images on which at least one attack evades it."""
        right = _right(self.study.under(self.study.attacks[0]))
        found: dict[tuple[str, str | None], list[float]] = {}
        for (name, trained_on, _), evaded in self._evaded.items():
            found.setdefault((name, trained_on), []).extend([evaded.sum().item() / right] if right else [])
        return found

    def paired(self, name: str, first: str, second: str, where: Where = lambda _: True) -> dict[str, Any] | None:
        """Return the mean difference in AUROC of two detectors over the cells that both have, with its interval.

        Args:
            name: Of the contrast.
            first: Name of a detector.
            second: Name of another; a training-free one stands beside every cell of the first.
            where: Which of the first detector's cells count.

        Returns:
            A record of name, value, low, high and cells; None if there is no such cell.
        """
        pairs = []
        for cell, found in self._aurocs.items():
            if cell.detector != first or not where(cell):
                continue
            twins = (Cell(second, cell.trained_on, cell.tested_on), Cell(second, None, cell.tested_on))
            twin = next((self._aurocs[each] for each in twins if each in self._aurocs), None)
            if twin is not None:
                pairs.append((self._over_seeds(found), self._over_seeds(twin)))
        return _contrast(name, [a for a, _ in pairs], [b for _, b in pairs])

    def between(self, name: str, first: Where, second: Where) -> dict[str, Any] | None:
        """Return the mean AUROC of some cells minus that of others, with its interval; None if either has none."""
        groups = [
            [self._over_seeds(found) for cell, found in self._aurocs.items() if where(cell)]
            for where in (first, second)
        ]
        return _contrast(name, *groups)

    def above(self, name: str, where: Where, level: float, *, noise: bool = False) -> dict[str, Any] | None:
        """Return the mean AUROC of some cells minus a level, with its interval; None if there is no such cell.

        Args:
            name: Of the contrast.
            where: Which cells.
            level: In [0, 1].
            noise: Whether against noise of the same norms instead of clean images.
        """
        known = self._against_noise if noise else self._aurocs
        cells = [self._over_seeds(found) for cell, found in known.items() if where(cell)]
        return _contrast(name, cells, [(level, torch.full((self.resampling.resamples,), level))])

    def family(self, attack: str) -> str | None:
        """Return the family of an attack of the run; None if it is unknown."""
        return FAMILIES.get(type(self.study.run.attacks()[attack]).__name__)

    def detectors(self) -> list[str]:
        """Return the names of all detectors that were measured."""
        return list(dict.fromkeys(cell.detector for cell in self._aurocs))

    def _area(self, clean: Tensor, adversarial: Tensor) -> Area | None:
        """Return the AUROC and that of each resample; None if it is not defined."""
        value = metrics.auroc(clean, adversarial)
        return None if value is None else (value, self.resampling.auroc(clean, adversarial))

    def _over_seeds(self, found: list[Area]) -> Area:
        mean = sum(value for value, _ in found) / len(found)
        return mean, self.resampling.over_seeds([replicates for _, replicates in found])

    def _note(self, contender: Contender, evaded: Tensor) -> None:
        key = contender.name, contender.trained_on, contender.seed
        self._evaded[key] = self._evaded[key] | evaded if key in self._evaded else evaded


def _keep(areas: dict[Cell, list[Area]], cell: Cell, area: Area | None) -> None:
    if area is not None:
        areas.setdefault(cell, []).append(area)


def _contrast(name: str, first: list[Area], second: list[Area]) -> dict[str, Any] | None:
    if not first or not second:
        return None
    values = [sum(value for value, _ in group) / len(group) for group in (first, second)]
    replicates = [torch.stack([each for _, each in group]).mean(0) for group in (first, second)]
    ends = interval(values[0] - values[1], replicates[0] - replicates[1])
    return {"name": name, "value": ends.value, "low": ends.low, "high": ends.high, "cells": len(first)}


def _cell(contender: Contender, under: AttackedSet) -> Cell:
    return Cell(contender.name, contender.trained_on, under.name)


def _right(under: AttackedSet) -> int:
    return int((under.subsets["successful"] | under.subsets["failed"]).sum())


UNTRAINED: Final = "-"
"""Stands for trained_on in the summary of a training-free detector."""

Rows = Sequence[Mapping[str, Any]]


def summary(rows: Rows, value: str = "auroc", subset: str = "all") -> Mapping[tuple[str, str], Any]:
    """Return means over seeds of a value, by (detector, trained on) and then by tested on.

    Args:
        rows: Of the matrix.
        value: Name of the field.
        subset: Of the pairs.

    Returns:
        {(detector, trained_on or UNTRAINED): {tested_on: mean or None}}, in the rows' order.
    """
    return {
        key: {attack: statistics.fmean(values) if values else None for attack, values in cells.items()}
        for key, cells in collected(rows, value, subset).items()
    }


def collected(rows: Rows, value: str, subset: str) -> dict[tuple[str, str], dict[str, list[float]]]:
    """Return the values of all seeds, by (detector, trained on) and then by tested on."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in rows:
        if row["subset"] == subset:
            cells = found.setdefault((row["detector"], row["trained_on"] or UNTRAINED), {})
            cells.setdefault(row["tested_on"], []).extend([] if row[value] is None else [row[value]])
    return found


def spread(values: Sequence[float]) -> float | str | None:
    """Return a mean, with the standard deviation where there are several seeds."""
    if not values:
        return None
    mean = statistics.fmean(values)
    return mean if len(values) == 1 else f"{mean:.3f} ± {statistics.stdev(values):.3f}"
