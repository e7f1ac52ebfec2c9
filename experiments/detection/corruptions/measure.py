"""Scores of all detectors on corrupted test images."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from data.corruptions import SEVERITIES, corrupt
from experiments.detection.corruptions.records import NONE, ClassRecord, CorruptionRecord
from experiments.results.bootstrap import clopper_pearson
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


def record(
    contender: Contender, threshold: float, corruption: str, severity: int, scores: Tensor, right: Tensor
) -> CorruptionRecord:
    """Return the record of a detector under a corruption.

    Args:
        contender: The detector.
        threshold: The score above which it flags an image.
        corruption: Name of the corruption.
        severity: Strength of the corruption, from 0 to 5.
        scores: (n,), the detector's.
        right: (n,) bool, whether the classifier is right under the corruption.
    """
    flagged = scores > threshold
    share, among = flagged.double().mean().item(), flagged[right]
    ends = clopper_pearson(share, len(scores))
    return CorruptionRecord(
        detector=contender.name,
        trained_on=contender.trained_on,
        seed=contender.seed,
        corruption=corruption,
        severity=severity,
        n=len(scores),
        flagged=share,
        flagged_low=ends.low,
        flagged_high=ends.high,
        n_right=len(among),
        flagged_right=among.double().mean().item() if len(among) else None,
        classifier_accuracy=right.double().mean().item(),
    )


def class_records(
    contender: Contender, threshold: float, clean: Tensor, corrupted: Sequence[Tensor], labels: Tensor
) -> Iterator[ClassRecord]:
    """Yield a detector's record of each class.

    Args:
        contender: The detector.
        threshold: The score above which it flags an image.
        clean: (n,) scores of the images as they are.
        corrupted: Such scores under each corruption and severity.
        labels: (n,), the true classes.
    """
    shares = (torch.stack(list(corrupted)) > threshold).double().mean(0)
    for label in sorted(set(labels.tolist())):
        rows = labels == label
        yield ClassRecord(
            detector=contender.name,
            trained_on=contender.trained_on,
            seed=contender.seed,
            label=label,
            n=int(rows.sum()),
            flagged=shares[rows].mean().item(),
            flagged_uncorrupted=(clean[rows] > threshold).double().mean().item(),
        )
