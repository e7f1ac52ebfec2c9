"""`evaluate.py transfer`: detectors x trained-on x tested-on (Schut & Gal, 2020, Figure 2 and appendix G)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from rich.progress import Progress
from torch import Tensor, nn

from detectors import Classifier, Detector, Disagreement, MaskArea, MaxSoftmax, metrics
from detectors.calibration import threshold
from experiments.attacked import AttackedSet, TestImages
from experiments.provenance import provenance
from experiments.run import Run
from experiments.scoring import clean_scores

RATES = {"tpr_at_1_fpr": 0.01, "tpr_at_5_fpr": 0.05}
REALISED_RATE = 0.05
"""The false-positive rate whose threshold `realised_fpr` checks on the test images."""

SMALLEST_CALIBRATION = {0.01: 1000}
"""Rates that are not reported below so many calibration images."""

UNTRAINED = "-"
"""Stands for trained_on in the summary of a training-free detector."""

SUBSETS = ("all", "successful", "failed")


@dataclass(frozen=True)
class Contender:
    """A detector of the table.

    Attributes:
        name: Of the row.
        trained_on: Name of the attack; None for a training-free detector.
        seed: Of the training; None for a training-free detector.
        module: Gives scores (N,).
        calibration: (n,) sorted scores of the clean calibration images.
    """

    name: str
    trained_on: str | None
    seed: int | None
    module: nn.Module
    calibration: Tensor


def transfer(run: Run, device: torch.device, command: list[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the meta data and the rows of the table.

    Args:
        run: Finished, as far as classifier, saliency model and detectors go.
        device: Where to compute.
        command: The command line, for the meta data.

    Raises:
        FileNotFoundError: If a stage is missing; says which command makes it.
    """
    _check_finished(run)
    data = run.data()
    data.prepare_data()
    classifier = run.classifier().to(device)
    rows: list[dict[str, Any]] = []
    with Progress(transient=True) as progress:
        field = list(_contenders(run, classifier, device, progress))
        images = TestImages(run, classifier, device, progress)
        clean = [images.scores(contender.module) for contender in progress.track(field, description="scores")]
        for name, attack in run.attacks().items():
            under = images.under(name, attack)
            task = progress.add_task(f"scores under {name}", total=len(field))
            for contender, of_clean in zip(field, clean, strict=True):
                rows += _rows(contender, of_clean, images.scores(contender.module, under), under)
                progress.advance(task)
    order = {(contender.name, contender.trained_on, contender.seed): place for place, contender in enumerate(field)}
    rows.sort(key=lambda row: order[row["detector"], row["trained_on"], row["seed"]])
    files = {str(path.relative_to(run.folder)): path for path in _checkpoints(run)}
    meta = provenance(command, files) | {
        "run": str(run.folder),
        "seeds": run.settings.seeds,
        "attacks": {name: repr(attack) for name, attack in run.attacks().items()},
        "knowledge": "attacks know the classifier, not the detectors; untargeted, labels are the classifier's own",
        "data": type(data).__name__,
        "splits": data.splits,
        "test_images": len(data.split("test")),
        "calibration_images": len(data.split("calibration")),
        "classifier_accuracy": under.clean_accuracy,
        "fields": _FIELDS,
    }
    return meta, rows


_FIELDS = {
    "n": "pairs of a clean image and its adversarial twin",
    "subset": "all: every pair; successful: right before, wrong after; failed: right before and after",
    "accuracy": "balanced, at probability .5",
    "tpr_at_*_fpr": "threshold from the clean calibration images; at 1 % null below 1000 of them",
    "fpr_at_95_tpr": "threshold from the test images",
    "realised_fpr": "of the 5 % threshold, on all clean test images",
    "attack_success_rate": "of the images that the classifier gets right, those that the attack turns wrong",
}


def measure(contender: Contender, clean: Tensor, adversarial: Tensor) -> dict[str, float | None]:
    """Return the metrics of the scores of pairs; all null if there are none.

    Args:
        contender: Its calibration scores give the thresholds.
        clean: (n,) scores of clean images.
        adversarial: (n,) scores of their twins.
    """
    names = ("accuracy", "auroc", "average_precision", *RATES, "fpr_at_95_tpr")
    if len(clean) == 0:
        return dict.fromkeys(names)
    learnt = contender.trained_on is not None
    rates = {name: _rate_above(contender, adversarial, rate) for name, rate in RATES.items()}
    return {
        "accuracy": metrics.balanced_accuracy(clean, adversarial) if learnt else None,
        "auroc": metrics.auroc(clean, adversarial),
        "average_precision": metrics.average_precision(clean, adversarial),
        **rates,
        "fpr_at_95_tpr": metrics.fpr_at_tpr(clean, adversarial),
    }


def _rate_above(contender: Contender, values: Tensor, rate: float) -> float | None:
    if len(contender.calibration) < SMALLEST_CALIBRATION.get(rate, 0):
        return None
    limit = threshold(contender.calibration, rate)
    return None if limit is None else metrics.rate_above(values, limit)


def _rows(contender: Contender, clean: Tensor, adversarial: Tensor, under: AttackedSet) -> Iterator[dict[str, Any]]:
    realised = _rate_above(contender, clean, REALISED_RATE)
    for subset in SUBSETS:
        chosen = under.subsets[subset]
        yield {
            "detector": contender.name,
            "trained_on": contender.trained_on,
            "tested_on": under.name,
            "seed": contender.seed,
            "subset": subset,
            "n": int(chosen.sum()),
            **measure(contender, clean[chosen], adversarial[chosen]),
            "realised_fpr": realised,
            "attack_success_rate": under.success_rate,
        }


def _contenders(run: Run, classifier: Classifier, device: torch.device, progress: Progress) -> Iterator[Contender]:
    """Yield the trained detectors of the run, then the training-free ones that its parts allow."""
    settings = run.settings
    wanted = [(d, a, s) for d in settings.detectors for a in settings.train_on for s in settings.seeds]
    for name, attack, seed in progress.track(wanted, description="detectors"):
        detector = run.detector(name, attack, seed).to(device)
        yield Contender(name, attack, seed, detector, _calibration(detector, run, device))
    free: dict[str, nn.Module] = {"max_softmax": MaxSoftmax(classifier)}
    if settings.sections["saliency"]:
        saliency = run.saliency().to(device)
        free |= {"mask_area": MaskArea(classifier, saliency), "disagreement": Disagreement(classifier, saliency)}
    for name, module in progress.track(free.items(), description="training-free detectors"):
        yield Contender(name, None, None, module, _calibration(module, run, device))


def _calibration(module: nn.Module, run: Run, device: torch.device) -> Tensor:
    if isinstance(module, Detector) and len(module.calibration):
        return module.calibration.cpu()
    return clean_scores(module, run.data().calibration_dataloader(), device).sort().values


def _checkpoints(run: Run) -> list[Any]:
    settings = run.settings
    paths = [run.classifier_path(settings.seeds[0])]
    paths += [run.saliency_path("mask")] if settings.sections["saliency"] else []
    return paths + [
        run.detector_path(d, a, s) for d in settings.detectors for a in settings.train_on for s in settings.seeds
    ]


def _check_finished(run: Run) -> None:
    missing = [path for path in _checkpoints(run) if not path.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        msg = (
            f"{run.folder} lacks {missing[0].parent.relative_to(run.folder)}{more}: make it with `python train.py "
            f"pipeline --config {run.folder}/pipeline.yaml --run {run.folder}`"
        )
        raise FileNotFoundError(msg)


def summary(rows: list[dict[str, Any]], value: str = "auroc", subset: str = "all") -> Mapping[tuple[str, str], Any]:
    """Return means over seeds of a value, by (detector, trained on) and then by tested on.

    Args:
        rows: Of the table.
        value: Name of the field.
        subset: Of the pairs.

    Returns:
        {(detector, trained_on or UNTRAINED): {tested_on: mean or None}}, in the rows' order.
    """
    collected: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in rows:
        if row["subset"] == subset:
            cells = collected.setdefault((row["detector"], row["trained_on"] or UNTRAINED), {})
            cells.setdefault(row["tested_on"], []).extend([] if row[value] is None else [row[value]])
    return {
        key: {attack: sum(values) / len(values) if values else None for attack, values in cells.items()}
        for key, cells in collected.items()
    }
