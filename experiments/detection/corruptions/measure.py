"""Scores of all detectors on corrupted test images."""

from collections.abc import Sequence

import torch
from torch import Tensor

from data.corruptions import SEVERITIES, corrupt
from experiments.detection.corruptions.records import NONE, ClassRecord, CorruptionRecord, class_records, record
from experiments.study.batches import predictions
from experiments.study.contenders import Contender
from experiments.study.study import Study

Level = tuple[str, int]
"""The name of a corruption, and its severity."""


def measure_corruptions(
    study: Study, corruptions: Sequence[str], count: int, detectors: Sequence[tuple[Contender, float]]
) -> tuple[list[CorruptionRecord], list[ClassRecord]]:
    """Return the records of each corruption and severity, and of each class.

    Args:
        study: A run with trained detectors.
        corruptions: Names of the corruptions.
        count: Test images, the first ones.
        detectors: Each with the score above which it flags an image.
    """
    clean, labels = study.images.clean[:count], study.images.labels[:count]
    right: dict[Level, Tensor] = {}
    scores: list[dict[Level, Tensor]] = [{} for _ in detectors]
    for name in study.progress.track([NONE, *corruptions], description="detectors on corrupted images"):
        levels = (0,) if name == NONE else SEVERITIES
        images = clean if name == NONE else torch.cat([corrupt(name, level, clean) for level in levels])
        hits = predictions(study.classifier, images, study.device) == labels.repeat(len(levels))
        right.update(_by_level(name, levels, hits))
        for (contender, _), of_detector in zip(detectors, scores, strict=True):  # in turn: they share explanations
            of_detector.update(_by_level(name, levels, study.images.scores_of(contender.module, images)))
    records: list[CorruptionRecord] = []
    classes: list[ClassRecord] = []
    for (contender, threshold), of_detector in zip(detectors, scores, strict=True):
        records += [record(contender, threshold, *level, seen, right[level]) for level, seen in of_detector.items()]
        first, *rest = of_detector.values()
        classes += class_records(contender, threshold, first, rest, labels)
    return records, classes


def _by_level(name: str, levels: Sequence[int], values: Tensor) -> dict[Level, Tensor]:
    """Return values (L n,) of a corruption's images, severity after severity, as (n,) each."""
    return {(name, level): part for level, part in zip(levels, values.chunk(len(levels)), strict=True)}
