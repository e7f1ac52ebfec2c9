"""The comparisons that the paper's claims need, from the detection matrix."""

from dataclasses import replace
from typing import Any, Final

from torch import Tensor

from detectors.base import ExplainingDetector
from detectors.explanations import Explanation, PredictedMap
from detectors.scoring import scores
from experiments.detection.transfer.matrix import Cell, Matrix
from experiments.results.result import Table
from experiments.study.contenders import Contender
from experiments.study.maps import maps_of, over
from experiments.study.metrics import DETECTED
from experiments.study.study import Study

OWN: Final = ("spd", "smd")
"""The paper's own detectors, which are compared with every other one."""

ORACLE: Final = " (true label)"
"""After the name of a detector whose map is that of the true class, which no detector knows."""


def contrasts(study: Study, matrix: Matrix) -> list[dict[str, Any]]:
    """Return the records of all comparisons that the run allows; each has name, value, low, high and cells.

    Args:
        study: Of the run.
        matrix: All of whose rows were asked for.
    """
    names = matrix.detectors()
    _add_oracles(study, matrix)
    learnt = {contender.name for contender in study.trained}
    found = [
        matrix.paired(f"{own} - {other}, unseen attacks", own, other, _unseen)
        for own in OWN
        for other in names
        if own in names and other != own
    ]
    found += [matrix.paired(f"{own} - {own}{ORACLE}, all attacks", own, f"{own}{ORACLE}") for own in OWN]
    found += [_against_noise(matrix, own) for own in OWN]
    found.append(matrix.paired("jsd - id, all attacks", "jsd", "id"))
    for name in sorted(learnt):
        found.append(_weak_to_strong(study, matrix, name))
        found.append(_sparse(matrix, name))
    found.append(
        matrix.between(
            "same family of norms - another, attacks not trained on",
            lambda cell: cell.detector in learnt and _unseen(cell) and _same(matrix, cell) is True,
            lambda cell: cell.detector in learnt and _unseen(cell) and _same(matrix, cell) is False,
        )
    )
    return [each for each in found if each is not None]


def difference_table(records: list[dict[str, Any]]) -> Table:
    """Return the comparisons as a table with a verdict each.

    Args:
        records: Of `contrasts`.
    """
    rows = [[each["name"], each["value"], each["low"], each["high"], each["cells"], _verdict(each)] for each in records]
    return Table(
        title="Differences in AUROC",
        header=["difference", "mean", "low", "high", "cells", "decided"],
        rows=rows,
        note="Means over cells (trained on x tested on), all pairs; 95 % bootstrap intervals that resample images, "
        "the same for all detectors, and seeds. True label: the map is that of the true class.",
    )


def _verdict(record: dict[str, Any]) -> str:
    return "above 0" if record["low"] > 0 else "below 0" if record["high"] < 0 else "no"


def _unseen(cell: Cell) -> bool:
    return cell.trained_on != cell.tested_on


def _same(matrix: Matrix, cell: Cell) -> bool | None:
    """Tell whether the attacks trained on and tested on bound the same norm; None if that is unknown."""
    families = matrix.family(cell.trained_on or cell.tested_on), matrix.family(cell.tested_on)
    return None if None in families else families[0] == families[1]


def _weak_to_strong(study: Study, matrix: Matrix, name: str) -> dict[str, Any] | None:
    """Return the AUROC on other attacks of a detector trained on FGSM, minus what counts as detection."""
    weak = [attack for attack, each in study.run.attacks().items() if type(each).__name__ == "FGSM"]
    return matrix.above(
        f"{name}, from FGSM to other attacks, above {DETECTED}",
        lambda cell: cell.detector == name and cell.trained_on in weak and cell.tested_on not in weak,
        DETECTED,
    )


def _against_noise(matrix: Matrix, name: str) -> dict[str, Any] | None:
    """Return a detector's AUROC against noise of the same norms, on unseen attacks, minus what counts as detection."""
    return matrix.above(
        f"{name} against noise, unseen attacks, above {DETECTED}",
        lambda cell: cell.detector == name and _unseen(cell),
        DETECTED,
        noise=True,
    )


def _sparse(matrix: Matrix, name: str) -> dict[str, Any] | None:
    """Return a detector's AUROC on JSMA minus that on other attacks, none of them trained on."""
    return matrix.between(
        f"{name}, JSMA - other attacks",
        lambda cell: cell.detector == name and _unseen(cell) and matrix.family(cell.tested_on) == "l0",
        lambda cell: cell.detector == name and _unseen(cell) and matrix.family(cell.tested_on) != "l0",
    )


def _add_oracles(study: Study, matrix: Matrix) -> None:
    """Measure the map detectors with the true label as selector: what is left is not disagreement."""
    learnt = next((maps for maps in maps_of(study) if maps.selected), None)
    field = [each for each in study.trained if isinstance(_explanation(each), PredictedMap)]
    if learnt is None or not field:
        return
    images = study.images

    def scored(seen: Tensor, about: str) -> list[Tensor]:
        maps = over(study, learnt, seen, images.labels, f"{about}, true label")
        return [scores(each.module, seen, study.device, explanation=maps) for each in field]

    clean = scored(images.clean, "clean")
    for attack in study.attacks:
        under = study.under(attack)
        for each, of_clean, of_twins in zip(field, clean, scored(under.adversarial, attack), strict=True):
            matrix.add(replace(each, name=f"{each.name}{ORACLE}"), under, of_clean, of_twins)


def _explanation(contender: Contender) -> Explanation | None:
    module = contender.module
    return module.explanation if isinstance(module, ExplainingDetector) else None
