"""Detectors compared on the same cells: attacks that they were not trained on."""

from collections.abc import Container, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from experiments.detection.transfer.records import ORACLE, UNTRAINED, Cell, Headline, compared
from experiments.results.bootstrap import Statistic, average
from experiments.results.result import Table


@dataclass(frozen=True)
class Standing:
    """A detector's results on attacks that it was not trained on.

    Attributes:
        detector: Its name.
        learnt: Whether it was trained on an attack.
        area: Mean AUROC against clean images.
        against_noise: Mean AUROC against noise of the same norms.
        worst: The cell of the lowest AUROC.
        lowest: That AUROC.
        cells: How many the means are over.
    """

    detector: str
    learnt: bool
    area: Statistic
    against_noise: Statistic
    worst: Cell
    lowest: float
    cells: int


def standings(headline: Headline, attacks: Container[str]) -> list[Standing]:
    """Return every detector's results, the highest mean AUROC first."""
    areas, noise = headline.areas, headline.against_noise
    cells_of_both = [cell for cell in areas if cell in noise and not cell.detector.endswith(ORACLE)]
    ranked = []
    for detector, cells in compared(cells_of_both, attacks).items():
        worst = min(cells, key=lambda cell: areas[cell].value)
        area, against_noise = (average([values[cell] for cell in cells]) for values in (areas, noise))
        learnt = worst.trained_on is not None
        ranked.append(Standing(detector, learnt, area, against_noise, worst, areas[worst].value, len(cells)))
    return sorted(ranked, key=lambda standing: -standing.area.value)


def best_two(ranked: Sequence[Standing]) -> dict[str, Any] | None:
    """Return the difference of the first two: name, value, low, high and cells; None for fewer than two."""
    if len(ranked) < 2:  # noqa: PLR2004 - a difference has two sides
        return None
    first, second = ranked[:2]
    apart = first.area.minus(second.area).interval
    return {"name": f"{first.detector} - {second.detector}", **asdict(apart), "cells": first.cells}


def ranking_table(ranked: Sequence[Standing], headline: Headline) -> Table:
    """Return the table of all detectors, best first."""
    return Table(
        title=f"Attacks that a detector was not trained on, {headline.subset} pairs",
        header=["detector", "mean AUROC", "against noise", "lowest AUROC", "trained on", "tested on", "cells", "pairs"],
        rows=[
            [
                one.detector,
                str(one.area.interval),
                str(one.against_noise.interval),
                one.lowest,
                one.worst.trained_on or UNTRAINED,
                one.worst.tested_on,
                one.cells,
                one.area.n,
            ]
            for one in ranked
        ],
        note="All rows are means over the same cells (trained on x tested on): a training-free detector stands beside "
        "each cell of the learnt ones. In brackets the 95 % interval over images and, from two seeds on, over seeds. "
        "Against noise: adversarial images against clean ones with noise of the same norms. Trained on, tested on: the "
        "cell of the lowest AUROC. Pairs: the fewest of a cell. Who is first was chosen on these test images, which "
        "flatters it.",
    )
