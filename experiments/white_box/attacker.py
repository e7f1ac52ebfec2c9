"""Attacks on the detectors of a run: the images are kept on disk block by block, their effect is measured anew."""

import time
from typing import Final

import torch
from torch import Tensor

from attacks import Attack, norms
from data.store.identity import digest, of_attack, of_code, of_module, of_tensor, versions
from detectors import Thresholded
from detectors.scoring import scores
from experiments.study.batches import predictions
from experiments.study.kept import kept
from experiments.study.study import Study
from experiments.white_box.records import COSTS, Outcome
from experiments.white_box.subjects import Subject

BLOCK: Final = 50
"""Images that are attacked, and kept, at a time: an interrupted evaluation goes on at the next block."""


class Attacker:
    """Attacks detectors on some test images of a run.

    Args:
        study: Of the run; blocks are kept under its `report/white_box` if it has a store.
        images: (M, C, H, W) in [0, 1], on the CPU.
        labels: (M,), the true classes.
    """

    def __init__(self, study: Study, images: Tensor, labels: Tensor) -> None:
        self.study = study
        self.images = images
        self.labels = labels
        self._folder = None if study.run.store() is None else study.run.report / "white_box"
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
            count: How many of the images; None: all.
        """
        images, labels = self.images[:count], self.labels[:count]
        starts = range(0, len(images), BLOCK)
        parts = [
            self._block(subject, name, attack, aim, images[at : at + BLOCK], labels[at : at + BLOCK]) for at in starts
        ]
        whole = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        right, clean = self._before(subject)
        adversarial, device = whole["images"], self.study.device
        change = adversarial - images
        return Outcome(
            contender=subject.contender,
            phase=subject.phase,
            learnt=subject.learnt,
            attack=name,
            steps=getattr(attack, "steps", None),
            right_before=right[: len(images)],
            wrong=predictions(subject.model, adversarial, device) != labels,
            scores=scores(subject.contender.module, adversarial, device),
            clean_scores=clean[: len(images)],
            linf=norms.linf(change),
            l2=norms.l2(change).double(),
            span=(adversarial.amin().item(), adversarial.amax().item()),
            costs={name: whole[name.removesuffix("_passes")].mean().item() for name in COSTS},
        )

    def _block(
        self, subject: Subject, name: str, attack: Attack, aim: Thresholded, images: Tensor, labels: Tensor
    ) -> dict[str, Tensor]:
        """Return adversarial images of a block, and what each took; from the disk where they were made before."""
        device, progress = self.study.device, self.study.progress

        def made() -> dict[str, Tensor]:
            task = progress.add_task(f"{name} on {subject.name} ({subject.phase} retraining)", total=None)
            start = time.perf_counter()
            report = attack.report(subject.model, images.to(device), labels.to(device), detector=aim)
            seconds = torch.full_like(report.forward_passes, (time.perf_counter() - start) / len(images))
            progress.remove_task(task)
            costs = {"forward": report.forward_passes, "backward": report.backward_passes, "seconds": seconds}
            return {key: tensor.cpu() for key, tensor in ({"images": report.images} | costs).items()}

        if self._folder is None:
            return made()
        key = digest([self._identity(subject, attack), aim.threshold, of_tensor(images), of_tensor(labels)])
        return kept(self._folder, key, len(images), made)

    def _identity(self, subject: Subject, attack: Attack) -> str:
        """Return a digest of all that the images depend on but the clean images and the threshold."""
        module = subject.contender.module
        if id(module) not in self._digests:
            parts = [of_module(module), of_module(subject.model), of_code(module, subject.model)]
            self._digests[id(module)] = digest(parts)
        return digest([self._digests[id(module)], of_attack(attack), of_code(attack), versions()])

    def _before(self, subject: Subject) -> tuple[Tensor, Tensor]:
        """Return which clean images are classified right, (M,), and their scores, (M,)."""
        key = id(subject.contender.module)
        if key not in self._clean:
            right = predictions(subject.model, self.images, self.study.device) == self.labels
            self._clean[key] = right, scores(subject.contender.module, self.images, self.study.device)
        return self._clean[key]
