"""One attack on one detector: its images, kept on disk block by block, and what they do."""

import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from attacks import Attack
from data.pairs import predict
from data.store.identity import digest, of_attack, of_code, of_module, of_tensor, versions
from data.store.shards import read_shard, write_shard
from detectors import Thresholded, metrics
from detectors.scoring import scores
from experiments.study.metrics import limit
from experiments.study.study import Study
from experiments.white_box.subjects import Subject

BLOCK: Final = 50
"""Images that are attacked, and kept, at a time: an interrupted evaluation goes on at the next block."""


@dataclass(frozen=True)
class Sample:
    """The clean test images under attack.

    Attributes:
        images: (n, C, H, W) in [0, 1], on the CPU.
        labels: (n,), the true classes.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def first(self, count: int) -> "Sample":
        """Return the first images of it."""
        return Sample(self.images[:count], self.labels[:count])


@dataclass(frozen=True)
class Outcome:
    """What an attack did to one detector; everything is computed anew from the images.

    Attributes:
        subject: The detector.
        attack: Name of the attack.
        steps: Of one of its walks; None: it has none.
        adversarial: (n, C, H, W), on the CPU.
        right_before: (n,) bool, classified right before the attack.
        wrong: (n,) bool, classified wrong after it.
        scores: (n,) the detector's after it.
        clean_scores: (n,) its scores before it.
        forward_passes: Per image, mean.
        backward_passes: Per image, mean.
        seconds: Per image, mean.
    """

    subject: Subject
    attack: str
    steps: int | None
    adversarial: Tensor
    right_before: Tensor
    wrong: Tensor
    scores: Tensor
    clean_scores: Tensor
    forward_passes: float
    backward_passes: float
    seconds: float

    def fooled(self, false_positive_rate: float | None) -> Tensor:
        """Return which images (n,), right before, are wrong after and accepted at a rate; None: at probability .5."""
        found = 0.0 if false_positive_rate is None else limit(self.subject.contender, false_positive_rate)
        passed = torch.ones_like(self.wrong) if found is None else self.scores <= found
        return self.right_before & self.wrong & passed

    def success(self, false_positive_rate: float | None) -> float | None:
        """Return the share of the images right before that `fooled` names; None if there are none."""
        count = int(self.right_before.sum())
        return int(self.fooled(false_positive_rate).sum()) / count if count else None

    @property
    def classifier_success(self) -> float | None:
        """The share of the images right before that are wrong after, rejected or not; None if there are none."""
        count = int(self.right_before.sum())
        return int((self.right_before & self.wrong).sum()) / count if count else None

    @cached_property
    def detector_accuracy(self) -> float | None:
        """The paper's: balanced, at probability .5."""
        return metrics.balanced_accuracy(self.clean_scores, self.scores)


class Attacker:
    """Attacks detectors on a sample of a run's test images.

    Args:
        study: Of the run; blocks are kept under its `report/white_box` if it has a store.
        sample: The images.
    """

    def __init__(self, study: Study, sample: Sample) -> None:
        self.study = study
        self.sample = sample
        self._folder: Path | None = None if study.run.store() is None else study.run.report / "white_box"
        self._digests: dict[int, str] = {}
        self._clean: dict[int, tuple[Tensor, Tensor]] = {}

    def outcome(
        self, subject: Subject, name: str, attack: Attack, aim: Thresholded, count: int | None = None
    ) -> Outcome:
        """Return what an attack does to a detector.

        Args:
            subject: The detector.
            name: Of the attack.
            attack: The attack.
            aim: The detector with the threshold that the attack aims at.
            count: How many images of the sample; None: all.
        """
        sample = self.sample.first(len(self.sample) if count is None else count)
        parts = [self._block(subject, name, attack, aim, sample, start) for start in range(0, len(sample), BLOCK)]
        whole = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        right, clean = self._before(subject)
        module, device = subject.contender.module, self.study.device
        return Outcome(
            subject=subject,
            attack=name,
            steps=getattr(attack, "steps", None),
            adversarial=whole["images"],
            right_before=right[: len(sample)],
            wrong=self._predicted(subject, whole["images"]) != sample.labels,
            scores=scores(module, whole["images"], device),
            clean_scores=clean[: len(sample)],
            forward_passes=whole["forward"].mean().item(),
            backward_passes=whole["backward"].mean().item(),
            seconds=whole["seconds"].mean().item(),
        )

    def _block(
        self, subject: Subject, name: str, attack: Attack, aim: Thresholded, sample: Sample, start: int
    ) -> dict[str, Tensor]:
        images, labels = sample.images[start : start + BLOCK], sample.labels[start : start + BLOCK]
        if self._folder is None:
            return self._made(subject, name, attack, aim, Sample(images, labels))
        key = digest([self._identity(subject, attack), aim.threshold, of_tensor(images), of_tensor(labels)])
        path = self._folder / f"{key}.pt"
        if not path.exists():
            made = self._made(subject, name, attack, aim, Sample(images, labels))
            path.parent.mkdir(parents=True, exist_ok=True)
            write_shard(path, key, 0, made)
        return {name: tensor.clone() for name, tensor in read_shard(path, key, 0, len(images)).items()}

    def _made(self, subject: Subject, name: str, attack: Attack, aim: Thresholded, sample: Sample) -> dict[str, Tensor]:
        device, progress = self.study.device, self.study.progress
        task = progress.add_task(f"{name} on {subject.name} ({subject.phase} retraining)", total=None)
        start = time.perf_counter()
        found = attack.report(subject.model, sample.images.to(device), sample.labels.to(device), detector=aim)
        seconds = torch.full_like(found.forward_passes, (time.perf_counter() - start) / len(sample))
        progress.remove_task(task)
        kept = {"images": found.images, "forward": found.forward_passes, "backward": found.backward_passes}
        return {key: tensor.cpu() for key, tensor in (kept | {"seconds": seconds}).items()}

    def _identity(self, subject: Subject, attack: Attack) -> str:
        """Return a digest of all that the images depend on but the images and the threshold."""
        module = subject.contender.module
        if id(module) not in self._digests:
            self._digests[id(module)] = digest(
                [of_module(module), of_module(subject.model), of_code(module, subject.model)]
            )
        return digest([self._digests[id(module)], of_attack(attack), of_code(attack), versions()])

    def _before(self, subject: Subject) -> tuple[Tensor, Tensor]:
        """Return which clean images are classified right, (n,), and their scores, (n,)."""
        key = id(subject.contender.module)
        if key not in self._clean:
            right = self._predicted(subject, self.sample.images) == self.sample.labels
            self._clean[key] = right, scores(subject.contender.module, self.sample.images, self.study.device)
        return self._clean[key]

    def _predicted(self, subject: Subject, images: Tensor) -> Tensor:
        parts = images.split(64)  # type: ignore[no-untyped-call]
        return torch.cat([predict(subject.model, part.to(self.study.device)).cpu() for part in parts])
