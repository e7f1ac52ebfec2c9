"""`evaluate.py transfer`: detectors x trained-on x tested-on (Schut & Gal, 2020, Figure 2 and appendix G)."""

from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor

from detectors import metrics
from experiments.attacked import AttackedSet
from experiments.bootstrap import Resampling, interval
from experiments.figures import bars, heat_maps
from experiments.measures import accepted, measure, rate_flagged
from experiments.protocols.transfer_tables import flags, matrix_tables, summary, worst_table
from experiments.results import Result, Table
from experiments.study import Contender, Study

SUBSETS: Final = ("all", "successful", "failed")

OWN: Final = ("spd", "smd")
"""The paper's own detectors, which are compared with every other one."""


def transfer(study: Study) -> Result:
    """Return the table of every detector under every attack.

    Args:
        study: Of a run whose detectors are trained; its option `resamples` is that of the intervals.

    Raises:
        FileNotFoundError: If a stage is missing; says which command makes it.
    """
    field = study.contenders
    resampling = Resampling(len(study.images.clean), study.options["resamples"])
    cells = _Cells(study, resampling)
    rows: list[dict[str, Any]] = []
    for name in study.progress.track(study.attacks, description="scores under each attack"):
        for contender in field:
            rows += cells.rows(contender, study.under(name))
    order = {(contender.name, contender.trained_on, contender.seed): place for place, contender in enumerate(field)}
    rows.sort(key=lambda row: order[row["detector"], row["trained_on"], row["seed"]])
    accuracy = study.under(study.attacks[0]).clean_accuracy
    meta = study.meta() | {"classifier_accuracy": accuracy, "resamples": resampling.resamples, "fields": _FIELDS}
    differences = cells.differences()
    title = f"AUROC on all pairs, {meta['data']}, seeds {', '.join(map(str, meta['seeds']))}"
    by_detector = _by_detector(rows)
    return Result(
        protocol="transfer",
        title="Detectors x trained on x tested on",
        question="How well does each detector, trained on one attack, find the images of every attack, and does it "
        "find attacks or any noise of that size?",
        finding=_finding(rows, differences),
        meta=meta,
        rows=rows,
        tables=[*matrix_tables(rows, study.attacks, meta), worst_table(rows, cells.worst()), differences],
        figures={"": heat_maps(title, by_detector), "bars": bars(title, by_detector)},
        flags=flags(rows, study),
    )


_FIELDS: Final = {
    "n": "pairs of a clean image and its adversarial twin",
    "subset": "all: every pair; successful: right before, wrong after; failed: right before and after",
    "accuracy": "balanced, at probability .5",
    "tpr_at_*_fpr": "threshold from the clean calibration images; at 1 % null below 1000 of them",
    "fpr_at_95_tpr": "threshold from the test images",
    "realised_fpr": "of the 5 % threshold, on all clean test images",
    "attack_success_rate": "of the images that the classifier gets right, those that the attack turns wrong",
    "auroc_low, auroc_high": "95 % bootstrap interval over images; on all pairs",
    "auroc_against_noise": "adversarial images against clean ones with noise of the same norms, pixels permuted",
    "noise_flagged": "share of such noise above the 5 % threshold",
    "auroc_rounded": "adversarial images rounded to 8 bits against clean ones",
    "success_at_5_fpr": "of the images that the classifier gets right, those wrong after the attack and accepted at "
    "the 5 % threshold: the attacker's success",
}


class _Cells:
    """The cells of the matrix, and what is computed across them.

    Args:
        study: Of the run.
        resampling: Of the test images.
    """

    def __init__(self, study: Study, resampling: Resampling) -> None:
        self.study = study
        self.resampling = resampling
        self._aurocs: dict[tuple[str, str | None, str], list[tuple[float, Tensor]]] = {}
        self._evaded: dict[tuple[str, str | None, int | None], Tensor] = {}

    def rows(self, contender: Contender, under: AttackedSet) -> Iterator[dict[str, Any]]:
        """Yield the records of a detector under an attack, one for each subset."""
        images = self.study.images
        clean = images.scores(contender.module)
        found = {name: images.scores(contender.module, under, name) for name in ("adversarial", "rounded", "noise")}
        adversarial = found["adversarial"]
        value, replicates = metrics.auroc(clean, adversarial), self.resampling.auroc(clean, adversarial)
        ends = interval(value, replicates)
        key = contender.name, contender.trained_on, under.name
        self._aurocs.setdefault(key, []).append((value, replicates))
        evaded = under.subsets["successful"] & accepted(contender, adversarial)
        self._note(contender, evaded)
        right = (under.subsets["successful"] | under.subsets["failed"]).sum().item()
        for subset in SUBSETS:
            chosen, whole = under.subsets[subset], subset == "all"
            some = bool(chosen.any())
            yield {
                "detector": contender.name,
                "trained_on": contender.trained_on,
                "tested_on": under.name,
                "seed": contender.seed,
                "subset": subset,
                "n": int(chosen.sum()),
                **measure(contender, clean[chosen], adversarial[chosen]),
                "realised_fpr": rate_flagged(contender, clean),
                "attack_success_rate": under.success_rate,
                "auroc_low": ends.low if whole else None,
                "auroc_high": ends.high if whole else None,
                "auroc_against_noise": metrics.auroc(found["noise"][chosen], adversarial[chosen]) if some else None,
                "noise_flagged": rate_flagged(contender, found["noise"][chosen]),
                "auroc_rounded": metrics.auroc(clean[chosen], found["rounded"][chosen]) if some else None,
                "success_at_5_fpr": evaded.sum().item() / right if right and whole else None,
            }

    def worst(self) -> dict[tuple[str, str | None], list[float]]:
        """Return, for each detector and seed, the share of images on which at least one attack evades it."""
        first = self.study.under(self.study.attacks[0])
        right = (first.subsets["successful"] | first.subsets["failed"]).sum().item()
        found: dict[tuple[str, str | None], list[float]] = {}
        for (name, trained_on, _), evaded in self._evaded.items():
            found.setdefault((name, trained_on), []).extend([evaded.sum().item() / right] if right else [])
        return found

    def differences(self) -> Table:
        """Return how far the paper's detectors are ahead of every other, on attacks that none was trained on."""
        names = list(dict.fromkeys(name for name, _, _ in self._aurocs))
        rows = []
        for own in (name for name in OWN if name in names):
            for other in (name for name in names if name != own):
                if pairs := self._comparable(own, other):
                    value = sum(first[0] - second[0] for first, second in pairs) / len(pairs)
                    ends = interval(value, torch.stack([a[1] - b[1] for a, b in pairs]).mean(0))
                    verdict = "ahead" if ends.low > 0 else "behind" if ends.high < 0 else "not decided"
                    rows.append([own, other, len(pairs), ends.value, ends.low, ends.high, verdict])
        return Table(
            title="AUROC of the paper's detectors minus that of another, on attacks they were not trained on",
            header=["detector", "other", "cells", "difference", "low", "high", "the detector is"],
            rows=rows,
            note="Mean over the cells (trained on x tested on, without the diagonal), all pairs; a 95 % bootstrap "
            "interval that resamples images (the same for both) and seeds.",
        )

    def _comparable(self, own: str, other: str) -> list[tuple[tuple[float, Tensor], tuple[float, Tensor]]]:
        """Return mean over seeds and replicates of both, for each cell off the diagonal."""
        pairs = []
        for (name, trained_on, tested_on), found in self._aurocs.items():
            free = other, None, tested_on
            twin = free if free in self._aurocs else (other, trained_on, tested_on)
            if name == own and trained_on != tested_on and twin in self._aurocs:
                pairs.append((self._over_seeds(found), self._over_seeds(self._aurocs[twin])))
        return pairs

    def _over_seeds(self, found: list[tuple[float, Tensor]]) -> tuple[float, Tensor]:
        mean = sum(value for value, _ in found) / len(found)
        return mean, self.resampling.over_seeds([replicates for _, replicates in found])

    def _note(self, contender: Contender, evaded: Tensor) -> None:
        key = contender.name, contender.trained_on, contender.seed
        self._evaded[key] = self._evaded[key] | evaded if key in self._evaded else evaded


def _by_detector(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the AUROC by detector, then trained on, then tested on; the training-free ones are one block."""
    found: dict[str, dict[str, Any]] = {}
    free = {row["detector"] for row in rows if row["trained_on"] is None}
    for (detector, trained_on), cells in summary(rows).items():
        block, line = ("training-free", detector) if detector in free else (detector, trained_on)
        found.setdefault(block, {})[line] = cells
    return found


def _finding(rows: list[dict[str, Any]], differences: Table) -> str:
    """Return what the numbers say, best detector first, also where it is a training-free one."""
    unseen: dict[str, list[float]] = {}
    noisy: dict[str, list[float]] = {}
    for row in rows:
        if row["subset"] == "all" and row["trained_on"] != row["tested_on"]:
            unseen.setdefault(row["detector"], []).append(row["auroc"])
            noisy.setdefault(row["detector"], []).append(row["auroc_against_noise"])
    if not unseen:
        return "There is only one attack, so nothing can be said about attacks that a detector was not trained on."
    means = sorted(((sum(values) / len(values), name) for name, values in unseen.items()), reverse=True)
    told = ", ".join(f"{name} {value:.3f}" for value, name in means)
    against = ", ".join(f"{name} {sum(noisy[name]) / len(noisy[name]):.3f}" for _, name in means)
    lost = [f"{row[0]} behind {row[1]}" for row in differences.rows if row[-1] == "behind"]
    won = [f"{row[0]} ahead of {row[1]}" for row in differences.rows if row[-1] == "ahead"]
    return (
        f"Mean AUROC on attacks that a detector was not trained on: {told}. Against noise of the same norms instead of "
        f"clean images: {against}. Decided at 95 %: {', '.join([*won, *lost]) or 'no difference'}."
    )
