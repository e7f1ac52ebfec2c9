"""The test images of a run, clean and under its attacks, and what detectors score on them."""

from dataclasses import dataclass

import torch
from rich.progress import Progress
from torch import Tensor, nn

from attacks import Attack
from data.pairs import predict
from data.sets import AdversarialSets
from detectors import Classifier
from detectors.base import ExplainingDetector
from experiments.run import Run
from experiments.scoring import scores


@dataclass(frozen=True)
class AttackedSet:
    """The test images under one attack, on the CPU.

    Attributes:
        name: Of the attack.
        attack: The attack itself.
        adversarial: (M, C, H, W), row by row the twins of the test images.
        subsets: (M,) bool by name, which pairs belong.
        success_rate: Share of the images classified right before that are wrong after; None if there are none.
        clean_accuracy: Share of the clean images classified right.
    """

    name: str
    attack: Attack
    adversarial: Tensor
    subsets: dict[str, Tensor]
    success_rate: float | None
    clean_accuracy: float


class TestImages:
    """The test split of a run; attacked images and explanations come from the run's store, if it has one.

    Args:
        run: The run; its data are downloaded.
        classifier: The attacked classifier, on the device.
        device: Where to compute.
        progress: Where to show what takes long.

    Attributes:
        clean: (M, C, H, W) in [0, 1], on the CPU.
        labels: (M,), the true classes.
    """

    __test__ = False  # not a test of pytest's

    def __init__(self, run: Run, classifier: Classifier, device: torch.device, progress: Progress) -> None:
        data = run.data()
        batches = list(data.test_dataloader())
        self.clean = torch.cat([batch.images for batch in batches])
        self.labels = torch.cat([batch.labels for batch in batches])
        self._batch_size = data.batch_size
        self._classifier = classifier
        self._device = device
        self._progress = progress
        store = run.store()
        self._sets = None if store is None else AdversarialSets(store, data, classifier, device, progress)

    def under(self, name: str, attack: Attack) -> AttackedSet:
        """Return the test images under an attack."""
        twins, before, after = self._attacked(name, attack)
        right, wrong = before == self.labels, after != self.labels
        won, lost = right & wrong, right & ~wrong
        count = int(right.sum())
        return AttackedSet(
            name=name,
            attack=attack,
            adversarial=twins,
            subsets={"all": torch.ones_like(won), "successful": won, "failed": lost},
            success_rate=int(won.sum()) / count if count else None,
            clean_accuracy=count / len(right),
        )

    def scores(self, detector: nn.Module, under: AttackedSet | None = None) -> Tensor:
        """Return the scores (M,) of the clean images, or of their twins under an attack, on the CPU."""
        images = self.clean if under is None else under.adversarial
        explanation: Tensor | None = None
        if self._sets is not None and isinstance(detector, ExplainingDetector):
            stored = self._sets.explained("test", detector.explanation, None if under is None else under.attack)
            explanation = stored.read("values", torch.arange(len(stored)))
        return scores(detector, images, self._device, explanation=explanation)

    def _attacked(self, name: str, attack: Attack) -> tuple[Tensor, Tensor, Tensor]:
        """Return the twins, and the classes predicted before and after."""
        if self._sets is not None:
            stored = self._sets.attacked("test", attack)
            rows = torch.arange(len(stored))
            return stored.read("images", rows), stored.read("before", rows), stored.read("after", rows)
        parts = self.clean.split(self._batch_size)  # type: ignore[no-untyped-call]
        twins, before, after = [], [], []
        for part in self._progress.track(parts, description=f"attacking with {name}"):
            images = part.to(self._device)
            adversarial = attack(self._classifier, images)
            twins.append(adversarial.cpu())
            before.append(predict(self._classifier, images).cpu())
            after.append(predict(self._classifier, adversarial).cpu())
        return torch.cat(twins), torch.cat(before), torch.cat(after)
