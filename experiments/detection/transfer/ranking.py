"""Detectors compared on the same cells: attacks that they were not trained on."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from experiments.detection.transfer.records import ORACLE, Cell, Ranking, Standing, compared
from experiments.results.bootstrap import Statistic, average

Areas = Mapping[Cell, Statistic]
"""The mean AUROC over seeds of each cell where it is defined."""


@dataclass(frozen=True)
class Headline:
    """The AUROCs that the finding is about.

    Attributes:
        subset: The subset of the pairs: all, or successful if most attacks fail on most images.
        against_noise: AUROCs against noise of the same norms.
    """

    subset: str
    areas: Areas
    against_noise: Areas


def ranking(headline: Headline, attacks: Container[str]) -> Ranking:
    """Return every detector's results, the highest mean AUROC first."""
    areas, noise = headline.areas, headline.against_noise
    in_both = [cell for cell in areas if cell in noise and not cell.detector.endswith(ORACLE)]
    ranked: list[tuple[Standing, Statistic]] = []
    for detector, cells in compared(in_both, attacks).items():
        worst = min(cells, key=lambda cell: areas[cell].value)
        area, against_noise = (average([values[cell] for cell in cells]) for values in (areas, noise))
        learnt, lowest = worst.trained_on is not None, areas[worst].value
        standing = Standing(detector, learnt, area.plain, against_noise.plain, worst, lowest, len(cells))
        ranked.append((standing, area))
    ranked.sort(key=lambda pair: -pair[1].value)
    of_kind = {standing.learnt: area for standing, area in reversed(ranked)}  # the best of each kind
    return Ranking(
        subset=headline.subset,
        standings=[standing for standing, _ in ranked],
        best_two=_best_two(ranked),
        kinds_apart=of_kind[True].minus(of_kind[False]).interval if len(of_kind) > 1 else None,
    )


def _best_two(ranked: Sequence[tuple[Standing, Statistic]]) -> dict[str, Any] | None:
    """Return the difference of the first two: name, value, low, high and cells; None for fewer than two."""
    if len(ranked) < 2:  # noqa: PLR2004 - a difference has two sides
        return None
    (first, area), (second, other) = ranked[:2]
    apart = area.minus(other).interval
    return {"name": f"{first.detector} - {second.detector}", **asdict(apart), "cells": first.cells}
