"""Differences in AUROC that the paper's claims are about."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch

from experiments.detection.transfer.ranking import Areas
from experiments.detection.transfer.records import ORACLE, Cell, Contrast
from experiments.results.bootstrap import Statistic, average
from experiments.results.levels import DETECTED

OWN: Final = ("spd", "smd")
"""The paper's own detectors, each compared with every other one."""

Where = Callable[[Cell], bool]


def contrasts(
    areas: Areas,
    noise: Areas,
    families: Mapping[str, str | None],
    single_steps: Sequence[str],
    trained: Sequence[str],
) -> list[Contrast]:
    """Return all contrasts that the run's attacks and detectors allow.

    Args:
        areas: AUROCs against clean images, of detectors trained on one attack or none.
        noise: AUROCs against noise of the same norms.
        families: The norm that each attack bounds or makes small; None: unknown.
        single_steps: The attacks that are FGSM.
        trained: Names of the trained detectors.
    """
    names = [name for name in dict.fromkeys(cell.detector for cell in areas) if not name.endswith(ORACLE)]

    def unseen_of(name: str) -> Where:
        return lambda cell: cell.detector == name and cell.unseen

    def of_family(*, same: bool) -> Where:
        """Cells of trained detectors whose two attacks bound the same norm, or two different known norms."""

        def where(cell: Cell) -> bool:
            two = families.get(cell.trained_on or cell.tested_on), families[cell.tested_on]
            return cell.detector in trained and cell.unseen and None not in two and same is (two[0] == two[1])

        return where

    every = [
        paired(areas, f"{own} - {other}, unseen attacks", own, other, unseen_of(own))
        for own in OWN
        for other in names
        if own in names and other != own
    ]
    every += [paired(areas, f"{own} - {own}{ORACLE}, all attacks", own, f"{own}{ORACLE}") for own in OWN]
    every += [above(noise, f"{own} against noise, unseen attacks, above {DETECTED}", unseen_of(own)) for own in OWN]
    every.append(paired(areas, "jsd - id, all attacks", "jsd", "id"))
    for name in trained:
        every += [
            above(areas, f"{name}, from FGSM to other attacks, above {DETECTED}", _from_fgsm(single_steps, name)),
            between(areas, f"{name}, JSMA - other attacks", *(_l0(families, name, is_l0=l0) for l0 in (True, False))),
        ]
    title = "same family of norms - another, attacks not trained on"
    every.append(between(areas, title, of_family(same=True), of_family(same=False)))
    return [contrast for contrast in every if contrast is not None]


def _l0(families: Mapping[str, str | None], name: str, *, is_l0: bool) -> Where:
    return lambda cell: cell.detector == name and cell.unseen and is_l0 is (families[cell.tested_on] == "l0")


def _from_fgsm(weak: Sequence[str], name: str) -> Where:
    return lambda cell: cell.detector == name and cell.trained_on in weak and cell.tested_on not in weak


def paired(areas: Areas, name: str, first: str, second: str, where: Where = lambda _: True) -> Contrast | None:
    """Return the mean difference in AUROC of two detectors over their common cells; None if there is none.

    A training-free second detector is compared with every cell of the first one.
    """
    pairs = []
    for cell, area in areas.items():
        if cell.detector == first and where(cell):
            others = (Cell(second, trained_on, cell.tested_on) for trained_on in (cell.trained_on, None))
            pairs += [(area, areas[other]) for other in others if other in areas][:1]
    return _contrast(name, [one for one, _ in pairs], [other for _, other in pairs])


def between(areas: Areas, name: str, first: Where, second: Where) -> Contrast | None:
    """Return the mean AUROC of some cells minus that of others; None if there are none.

    They are compared within a line of the matrix (a detector and the attack it was trained on). Lines that lack either
    are left out, so that both means are of the same trained detectors.
    """
    lines: dict[tuple[str, str | None], tuple[list[Statistic], list[Statistic]]] = {}
    for cell, area in areas.items():
        sides = lines.setdefault((cell.detector, cell.trained_on), ([], []))
        for side, where in zip(sides, (first, second), strict=True):
            if where(cell):
                side.append(area)
    both = [sides for sides in lines.values() if all(sides)]
    contrast = (
        _contrast(name, *([average(line) for line in side] for side in zip(*both, strict=True))) if both else None
    )
    return contrast and contrast | {"cells": sum(len(one) for one, _ in both)}


def above(areas: Areas, name: str, where: Where, level: float = DETECTED) -> Contrast | None:
    """Return the mean AUROC of some cells minus a level; None if there is no such cell."""
    cells = [area for cell, area in areas.items() if where(cell)]
    return _contrast(name, cells, [Statistic(level, torch.full_like(area.replicates, level), 0) for area in cells[:1]])


def _contrast(name: str, first: Sequence[Statistic], second: Sequence[Statistic]) -> Contrast | None:
    if not first or not second:
        return None
    ends = average(first).minus(average(second)).interval
    return {"name": name, "value": ends.value, "low": ends.low, "high": ends.high, "cells": len(first)}
