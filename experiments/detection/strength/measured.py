"""An attack's images, measured anew: success, change, and what the attack costs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from attacks import Attack
from data.pairs import predict
from experiments.detection.timing import timed
from experiments.study.images import AttackedSet
from experiments.study.study import Study

SAMPLE: Final = 64
"""Images on which passes and time are measured."""

TWICE: Final = 8
"""Images that are attacked twice."""


@dataclass(frozen=True)
class Measured:
    """An attack's images, measured anew.

    Attributes:
        under: As stored.
        perturbation: (M, C, H, W).
        right: (M,) bool, predicted right before.
        fooled: (M,) bool, right before and wrong after.
        fooled_rounded: (M,) bool, the same with the images rounded to 8 bits.
        changed: Images whose stored prediction is not the one that was found now.
        cost: Of the attack on a sample.
    """

    under: AttackedSet
    perturbation: Tensor
    right: Tensor
    fooled: Tensor
    fooled_rounded: Tensor
    changed: int
    cost: "Cost"

    def rate(self, fooled: Tensor) -> float | None:
        """Return the share of the images predicted right before that are fooled; None if there are none."""
        count = int(self.right.sum())
        return int(fooled.sum()) / count if count else None

    @property
    def success_rate(self) -> float | None:
        """Share of the images predicted right before that are wrong after."""
        return self.rate(self.fooled)

    def subset(self, name: str) -> Tensor:
        """Return (M,) bool: which images belong."""
        return self.fooled if name == "successful" else torch.ones_like(self.fooled)


@dataclass(frozen=True)
class Cost:
    """What an attack takes per image, on a sample; and whether a second attack gives the same images."""

    images: int
    forward_passes: float
    backward_passes: float
    seconds: float
    repeatable: bool


def measure_attack(study: Study, under: AttackedSet) -> Measured:
    """Return the images under an attack, measured anew.

    Args:
        study: Of the run.
        under: The test images under the attack.
    """
    clean, labels = study.images.clean, study.images.labels
    right = _predicted(study, clean) == labels
    after = _predicted(study, under.adversarial)
    rounded, _ = under.variant("rounded", clean)
    return Measured(
        under=under,
        perturbation=under.adversarial - clean,
        right=right,
        fooled=right & (after != labels),
        fooled_rounded=right & (_predicted(study, rounded) != labels),
        changed=int((after != under.after).sum()),
        cost=_cost(study, under.attack),
    )


def batches(study: Study, images: Tensor) -> Iterator[Tensor]:
    """Yield images (M, C, H, W) in parts, on the study's device."""
    for part in images.split(study.data.batch_size):  # type: ignore[no-untyped-call]
        yield part.to(study.device)


def _predicted(study: Study, images: Tensor) -> Tensor:
    """Return the classes (M,) that the classifier predicts, on the CPU."""
    return torch.cat([predict(study.classifier, part).cpu() for part in batches(study, images)])


def _cost(study: Study, attack: Attack) -> Cost:
    clean = study.images.clean
    sample = clean[:: max(1, len(clean) // SAMPLE)][:SAMPLE].to(study.device)
    few = sample[:TWICE]
    first, second = attack(study.classifier, few), attack(study.classifier, few)
    report, seconds = timed(lambda: attack.report(study.classifier, sample), study.device)
    return Cost(
        images=len(sample),
        forward_passes=report.forward_passes.mean().item(),
        backward_passes=report.backward_passes.mean().item(),
        seconds=seconds / len(sample),
        repeatable=torch.equal(first, second),
    )
