"""Detectors against their own attack at other sizes of the perturbation."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from attacks import Attack, norms
from experiments.detection.scores import AreasBySeed, pair_scores
from experiments.detection.threshold.records import SUBSETS, Point, ThresholdRecords, ThresholdRow
from experiments.results.bootstrap import Resampling
from experiments.study.batches import columns
from experiments.study.budgets import resized
from experiments.study.images import noise_ratios
from experiments.study.metrics import measure
from experiments.study.study import Study


def measure_threshold(
    study: Study, swept: Mapping[str, Attack], epsilons: Sequence[float], resamples: int
) -> ThresholdRecords:
    """Return the records of each attack, epsilon, detector trained on the attack or on nothing, and subset."""
    rows: list[ThresholdRow] = []
    clean, ratios = study.images.clean, {}
    areas: AreasBySeed[Point] = AreasBySeed(Resampling(len(clean), resamples))
    wanted = [(name, epsilon) for name in swept for epsilon in epsilons]
    for name, epsilon in study.progress.track(wanted, description="scores at each epsilon"):
        under = study.images.under(f"{name}@{epsilon:g}", resized(swept[name], epsilon))
        lengths = columns(
            lambda clean, adversarial: [norms.l2(adversarial - clean), norms.rms(adversarial - clean)],
            clean,
            under.adversarial,
            device=torch.device("cpu"),
        )
        ratios[under.name] = noise_ratios(clean, under.adversarial, under.variant("noise", clean)[0])
        subsets = {subset: under.subsets[subset] for subset in SUBSETS}
        sizes: dict[str, dict[str, Any]] = {
            subset: {
                "median_l2": _median(lengths[0][pairs]),
                "median_rms": _median(lengths[1][pairs]),
                "attack_success_rate": under.success_rate,
                "right_before": int((under.subsets["successful"] | under.subsets["failed"]).sum()),
            }
            for subset, pairs in subsets.items()
        }
        for contender in study.contenders:
            if contender.trained_on in {name, None}:
                detector = contender.name, contender.trained_on, contender.seed
                scores = pair_scores(study.images, contender, under)
                for subset, pairs in subsets.items():
                    point = name, contender.name, contender.trained_on, subset, epsilon
                    areas.add(point, areas.area(scores.clean, scores.adversarial, pairs))
                rows += [
                    ThresholdRow(*detector, name, epsilon, subset, count, metrics, **sizes[subset])
                    for subset, count, metrics in measure("threshold", scores, subsets)
                ]
    return ThresholdRecords(rows, {point: area.plain for point, area in areas.over_seeds().items()}, ratios)


def swept_attacks(study: Study) -> dict[str, Attack]:
    """Return the attacks with an epsilon that detectors are trained on."""
    every = study.run.attacks()
    trained = [name for name in study.run.settings.train_on if name in every]
    swept = {name: every[name] for name in trained if getattr(every[name], "epsilon", 0) > 0}
    if not swept:
        msg = (
            f"{study.run.folder} has no detector trained on an attack with an epsilon (attacks.FGSM, ...): add "
            "one to train_on of its pipeline.yaml, and run `python train.py pipeline` again"
        )
        raise FileNotFoundError(msg)
    return swept


def _median(values: Tensor) -> float | None:
    return values.double().quantile(0.5).item() if len(values) else None
