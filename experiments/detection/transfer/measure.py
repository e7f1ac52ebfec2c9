"""Every detector under every attack: scores, their metrics, and AUROCs with bootstrap resamples."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from data.store.identity import digest, of_tensor
from detectors.base import ExplainingDetector
from detectors.explanations import PredictedMap
from experiments.detection.scores import AreasBySeed, pair_scores
from experiments.detection.transfer.contrasts import contrasts
from experiments.detection.transfer.controls import UNDERFLOW_IMAGES, control_areas, underflow
from experiments.detection.transfer.ranking import Headline, ranking
from experiments.detection.transfer.records import ORACLE, UNTRAINED, Cell, TransferRecords, TransferRow
from experiments.results.bootstrap import Resampling
from experiments.results.levels import mostly_fail
from experiments.study.batches import detector_scores
from experiments.study.budgets import unusual
from experiments.study.contenders import Contender
from experiments.study.images import AttackedSet, noise_ratios
from experiments.study.maps import maps_of, over
from experiments.study.metrics import PairScores, measure
from experiments.study.rows import Rows
from experiments.study.study import Study
from experiments.training.settings import left_out

_BySubset = Mapping[str, AreasBySeed[Cell]]


def measure_transfer(study: Study, resamples: int) -> TransferRecords:
    """Return the detection matrix of a run with trained detectors."""
    contenders, attacks = study.contenders, study.run.attacks()
    resampling = Resampling(len(study.images.clean), resamples)
    subsets = ("all", "successful") if mostly_fail([study.under(name).success_rate for name in attacks]) else ("all",)
    areas: _BySubset = {subset: AreasBySeed(resampling) for subset in subsets}
    against_noise: _BySubset = {subset: AreasBySeed(resampling) for subset in subsets}
    rows: list[TransferRow] = []
    evaded: dict[tuple[str, str | None, int | None], Tensor] = {}
    cells = list(product(attacks, contenders))
    for name, contender in study.progress.track(cells, description="scores under each attack"):
        under = study.under(name)
        pairs, chosen = pair_scores(study.images, contender, under), under.subsets | {"all": None}
        aurocs = {subset: whole.area(pairs.clean, pairs.adversarial, chosen[subset]) for subset, whole in areas.items()}
        if left_out(contender.trained_on, attacks) is None:  # contrasts are between detectors of one attack
            for subset, noisy in against_noise.items():
                areas[subset].add(_cell(contender, under), aurocs[subset])
                noisy.add(_cell(contender, under), noisy.area(pairs.noise, pairs.adversarial, chosen[subset]))
        key = contender.name, contender.trained_on, contender.seed
        evaded[key] = evaded.get(key, torch.zeros_like(pairs.fooled)) | pairs.evaded
        whole = aurocs["all"]
        rows += _rows(replace(pairs, interval=None if whole is None else whole.interval), under)
    rows.sort(key=lambda row: list(evaded).index((row.detector, row.trained_on, row.seed)))
    headline = _headline(areas, against_noise)
    _add_oracles(study, areas["all"])
    first = study.under(study.attacks[0])
    train_on = {name: left_out(name, attacks) for name in study.run.settings.train_on}
    clean = study.images.clean
    families = {name: attack.norm_family for name, attack in attacks.items()}
    single_steps = [name for name, attack in attacks.items() if type(attack).__name__ == "FGSM"]
    trained = sorted({contender.name for contender in study.trained})
    return TransferRecords(
        rows=rows,
        ranking=ranking(headline, study.attacks),
        contrasts=contrasts(
            areas["all"].over_seeds(), against_noise["all"].over_seeds(), families, single_steps, trained
        ),
        evaded=_shares(evaded, int((first.subsets["successful"] | first.subsets["failed"]).sum())),
        families=families,
        left_out={name: attack for name, attack in train_on.items() if attack is not None},
        controls=control_areas(study, contenders[0]),
        accuracy=first.clean_accuracy,
        underflow=underflow(study.classifier, clean[:UNDERFLOW_IMAGES], study.device),
        noise_ratios={
            name: noise_ratios(clean, study.under(name).adversarial, study.under(name).variant("noise", clean)[0])
            for name in attacks
        },
        budgets=unusual(attacks, clean.shape[1]),
    )


def _headline(areas: _BySubset, against_noise: _BySubset) -> Headline:
    """Return the AUROCs of the last subset of the pairs on which detectors can be compared."""
    headlines = {
        subset: Headline(subset, areas[subset].over_seeds(), against_noise[subset].over_seeds()) for subset in areas
    }
    whole, last = headlines["all"], list(headlines.values())[-1]
    return last if any(cell.trained_on and cell.unseen for cell in last.areas) else whole


def _rows(pairs: PairScores, under: AttackedSet) -> Iterator[TransferRow]:
    who = pairs.contender
    for subset, count, metrics in measure("transfer", pairs, under.subsets):
        yield TransferRow(who.name, who.trained_on, under.name, who.seed, subset, count, metrics)


def _shares(evaded: dict[tuple[str, str | None, int | None], Tensor], right: int) -> dict[tuple[str, str], list[float]]:
    shares: dict[tuple[str, str], list[float]] = {}
    for (name, trained_on, _), images in evaded.items():
        shares.setdefault((name, trained_on or UNTRAINED), []).extend([images.sum().item() / right] if right else [])
    return shares


def _cell(contender: Contender, under: AttackedSet) -> Cell:
    return Cell(contender.name, contender.trained_on, under.name)


def _add_oracles(study: Study, areas: AreasBySeed[Cell]) -> None:
    """Add the map detectors with the true label as selector: without a predicted class they cannot use disagreement."""
    learnt = next((maps for maps in maps_of(study) if maps.selected), None)
    with_map = [
        contender
        for contender in study.trained
        if isinstance(contender.module, ExplainingDetector) and isinstance(contender.module.explanation, PredictedMap)
    ]
    if learnt is None or study.saliency is None or not with_map:
        return

    modules, labels = [study.saliency, *(contender.module for contender in with_map)], study.images.labels

    def scored(images: Rows, about: str) -> list[Tensor]:
        def made() -> dict[str, Tensor]:
            maps = over(study, learnt, images, labels, f"{about}, true label")
            those = (detector_scores(module, images, study.device, maps) for module in modules[1:])
            return {str(place): one for place, one in enumerate(those)}

        content = digest([images.digest(), of_tensor(labels)])
        return list(study.images.kept(modules, content, len(images), made).values())

    clean = scored(study.images.clean, "clean")
    for attack in study.attacks:
        under = study.under(attack)
        for contender, of_clean, attacked in zip(with_map, clean, scored(under.adversarial, attack), strict=True):
            oracle = replace(contender, name=f"{contender.name}{ORACLE}")
            areas.add(_cell(oracle, under), areas.area(of_clean, attacked))
