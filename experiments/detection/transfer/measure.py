"""Every detector under every attack: scores, their metrics, and AUROCs with bootstrap resamples."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from detectors import metrics
from detectors.base import ExplainingDetector
from detectors.explanations import PredictedMap
from detectors.scoring import scores
from experiments.detection.scores import pair_scores
from experiments.detection.transfer.controls import control_areas, underflow
from experiments.detection.transfer.records import ORACLE, UNTRAINED, Areas, Cell, TransferRecords
from experiments.results.bootstrap import Resampling, Statistic, over_seeds
from experiments.study.contenders import Contender
from experiments.study.images import AttackedSet
from experiments.study.maps import maps_of, over
from experiments.study.metrics import PairScores, measure
from experiments.study.study import Study
from experiments.training.settings import left_out


class AreasBySeed:
    """The AUROCs of each cell, one for each seed, with their resamples."""

    def __init__(self, resampling: Resampling) -> None:
        self._resampling = resampling
        self._areas: dict[Cell, list[Statistic]] = {}

    def add(self, cell: Cell, area: Statistic | None) -> None:
        """Keep the AUROC of another seed, if it is defined."""
        if area is not None:
            self._areas.setdefault(cell, []).append(area)

    def area(self, clean: Tensor, adversarial: Tensor) -> Statistic | None:
        """Return the AUROC of scores (M,) of all pairs; None if it is not defined."""
        value = metrics.auroc(clean, adversarial)
        if value is None:
            return None
        return Statistic(value, self._resampling.auroc(clean, adversarial), len(adversarial))

    def over_seeds(self) -> Areas:
        """Return the mean over seeds of each cell."""
        return {cell: over_seeds(areas) for cell, areas in self._areas.items()}


def measure_transfer(study: Study, resamples: int) -> TransferRecords:
    """Return the detection matrix of a run with trained detectors."""
    contenders, attacks = study.contenders, study.run.attacks()
    resampling = Resampling(len(study.images.clean), resamples)
    areas, against_noise = AreasBySeed(resampling), AreasBySeed(resampling)
    rows: list[dict[str, Any]] = []
    evaded: dict[tuple[str, str | None, int | None], Tensor] = {}
    for name in study.progress.track(attacks, description="scores under each attack"):
        under = study.under(name)
        for contender in contenders:
            pairs = pair_scores(study.images, contender, under)
            area = areas.area(pairs.clean, pairs.adversarial)
            if left_out(contender.trained_on, attacks) is None:  # contrasts are between detectors of one attack
                areas.add(_cell(contender, under), area)
                against_noise.add(_cell(contender, under), areas.area(pairs.noise, pairs.adversarial))
            key = contender.name, contender.trained_on, contender.seed
            evaded[key] = evaded.get(key, torch.zeros_like(pairs.fooled)) | pairs.evaded
            rows += _rows(replace(pairs, interval=None if area is None else area.interval), under)
    rows.sort(key=lambda row: list(evaded).index((row["detector"], row["trained_on"], row["seed"])))
    _add_oracles(study, areas)
    first = study.under(study.attacks[0])
    train_on = {name: left_out(name, attacks) for name in study.run.settings.train_on}
    return TransferRecords(
        rows=rows,
        areas=areas.over_seeds(),
        against_noise=against_noise.over_seeds(),
        evaded=_shares(evaded, int((first.subsets["successful"] | first.subsets["failed"]).sum())),
        families={name: attack.norm_family for name, attack in attacks.items()},
        single_steps=[name for name, attack in attacks.items() if type(attack).__name__ == "FGSM"],
        trained=sorted({contender.name for contender in study.trained}),
        left_out={name: attack for name, attack in train_on.items() if attack is not None},
        controls=control_areas(study, contenders[0]),
        accuracy=first.clean_accuracy,
        underflow=underflow(study.classifier, study.images.clean, study.device),
    )


def _rows(pairs: PairScores, under: AttackedSet) -> Iterator[dict[str, Any]]:
    contender = pairs.contender
    for subset, values in measure("transfer", pairs, under.subsets):
        yield {
            "detector": contender.name,
            "trained_on": contender.trained_on,
            "tested_on": under.name,
            "seed": contender.seed,
            "subset": subset,
            **values,
        }


def _shares(evaded: dict[tuple[str, str | None, int | None], Tensor], right: int) -> dict[tuple[str, str], list[float]]:
    shares: dict[tuple[str, str], list[float]] = {}
    for (name, trained_on, _), images in evaded.items():
        shares.setdefault((name, trained_on or UNTRAINED), []).extend([images.sum().item() / right] if right else [])
    return shares


def _cell(contender: Contender, under: AttackedSet) -> Cell:
    return Cell(contender.name, contender.trained_on, under.name)


def _add_oracles(study: Study, areas: AreasBySeed) -> None:
    """Measure the map detectors with the true label as selector: what is left is not disagreement."""
    learnt = next((maps for maps in maps_of(study) if maps.selected), None)
    with_map = [
        contender
        for contender in study.trained
        if isinstance(contender.module, ExplainingDetector) and isinstance(contender.module.explanation, PredictedMap)
    ]
    if learnt is None or not with_map:
        return

    def scored(images: Tensor, about: str) -> list[Tensor]:
        maps = over(study, learnt, images, study.images.labels, f"{about}, true label")
        return [scores(contender.module, images, study.device, explanation=maps) for contender in with_map]

    clean = scored(study.images.clean, "clean")
    for attack in study.attacks:
        under = study.under(attack)
        for contender, of_clean, attacked in zip(with_map, clean, scored(under.adversarial, attack), strict=True):
            oracle = replace(contender, name=f"{contender.name}{ORACLE}")
            areas.add(_cell(oracle, under), areas.area(of_clean, attacked))
