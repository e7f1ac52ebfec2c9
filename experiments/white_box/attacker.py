"""Attacks on detectors: the images are kept on disk block by block, their effect is measured anew."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from rich.progress import Progress
from torch import Tensor, nn

from attacks import Attack, norms
from data.store.identity import digest, of_code, of_module, of_parameters, of_tensor, versions
from detectors import Detector, Thresholded
from experiments.results.levels import WORKING_RATE
from experiments.study.batches import detector_scores, predictions
from experiments.study.contenders import Contender
from experiments.study.kept_tensors import kept
from experiments.study.ranks import shared
from experiments.white_box.outcomes import Outcome
from experiments.white_box.records import COSTS

BLOCK: Final = 50
"""Images that are attacked, and kept, at a time: an interrupted evaluation goes on at the next block."""


_AT_ONCE: Final = 64
"""Blocks of several attacks that are held in memory at a time."""

TARGETS: Final = "a random other class for each image, drawn from seed 0"


def random_targets(labels: Tensor, classes: int) -> Tensor:
    """Return `TARGETS`, (n,), for labels (n,) in [0, classes)."""
    steps = torch.randint(1, classes, labels.shape, generator=torch.Generator().manual_seed(0))
    return (labels + steps) % classes


@dataclass(frozen=True)
class Subject:
    """A detector under attack.

    Attributes:
        phase: before or after retraining; a detector that is never retrained is always before.
        model: The attacked classifier: the detector's own where it holds it, so that a pass is shared.
    """

    contender: Contender
    phase: str
    model: nn.Module

    @property
    def differentiable(self) -> bool:
        """Whether a gradient leads from its scores to the images; only a detector of the user's own may lack it."""
        return bool(getattr(self.contender.module, "differentiable", True))

    @property
    def name(self) -> str:
        """The name of the detector."""
        return self.contender.name

    @property
    def learnt(self) -> bool:
        """Whether score 0 is probability .5, as in every detector that this project trains."""
        return isinstance(self.contender.module, Detector)

    @property
    def has_representation_step(self) -> bool:
        """Whether it has the authors' step of the representation."""
        module = self.contender.module
        return isinstance(module, Detector) and module.has_representation_step

    def aimed(self, false_positive_rate: float | None = WORKING_RATE) -> Thresholded:
        """Return the detector aimed at a false-positive rate; None: at probability .5.

        Raises:
            ValueError: If there are too few calibration images for that rate.
        """
        module = self.contender.module
        if false_positive_rate is None:
            return Thresholded(module)
        return Thresholded.at_rate(module, self.contender.calibration, false_positive_rate)

    def parts(self, images: Tensor) -> tuple[str, ...]:
        """Return the names of the detector's parts that an attack can aim at, asked on images (N, C, H, W)."""
        module = self.contender.module
        if not hasattr(module, "surrogates") or getattr(module, "classifier", None) is not self.model:
            return ()
        _, _, parts = module.surrogates(images.clone().requires_grad_())  # type: ignore[operator]
        return tuple(parts)


@dataclass(frozen=True)
class Job:
    """An attack on a detector.

    Attributes:
        aim: The detector with the threshold that the attack aims at.
        count: How many of the images; None: all.
        given: (n,) bool, the images to attack, the others stay as they are; None: all.
    """

    subject: Subject
    name: str
    attack: Attack
    aim: Thresholded
    count: int | None = None
    given: Tensor | None = None

    def blocks(self, images: int) -> Sequence[Tensor]:
        """Return the rows of the attacked images, of so many in all, block by block."""
        rows = torch.arange(images)[: self.count] if self.given is None else self.given.nonzero().flatten()
        return torch.split(rows, BLOCK) if len(rows) else ()


class Attacker:
    """Attacks detectors on some images.

    Args:
        images: (M, C, H, W) in [0, 1], on the CPU.
        labels: (M,), the true classes.
        device: Where to compute.
        progress: Shows the progress of long steps.
        folder: Where blocks are kept; None: nowhere.
        targets: (M,), the classes that targeted attacks are to reach; None: attacks are untargeted.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        device: torch.device,
        progress: Progress,
        folder: Path | None = None,
        targets: Tensor | None = None,
    ) -> None:
        self.images = images
        self.labels = labels
        self.targeted = targets is not None
        self._goals = labels if targets is None else targets
        self.device = device
        self.progress = progress
        self._folder = folder
        self._digests: dict[int, str] = {}
        self._clean: dict[int, tuple[Tensor, Tensor]] = {}

    def outcomes(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Return what attacks do to detectors; several processes share the blocks of images of many of them."""
        return [outcome for some in self._together(jobs) for outcome in self._shared(some)]

    def _together(self, jobs: Sequence[Job]) -> Iterator[list[Job]]:
        """Yield the attacks in turns of at most so many blocks as memory shall hold, or of one attack."""
        waiting: list[Job] = []
        for job in jobs:
            if sum(len(each.blocks(len(self.images))) for each in [*waiting, job]) > _AT_ONCE and waiting:
                yield waiting
                waiting = []
            waiting.append(job)
        yield waiting

    def _shared(self, jobs: Sequence[Job]) -> list[Outcome]:
        blocks = [(job, rows) for job in jobs for rows in job.blocks(len(self.images))]
        made = shared(lambda block: self._attacked(*block), blocks)
        return [
            self._outcome(job, [(rows, each) for (of, rows), each in zip(blocks, made, strict=True) if of is job])
            for job in jobs
        ]

    def outcome(self, subject: Subject, name: str, attack: Attack, aim: Thresholded) -> Outcome:
        """Return what an attack does to a detector; see `Job`."""
        return self.outcomes([Job(subject, name, attack, aim)])[0]

    def _attacked(self, job: Job, rows: Tensor) -> dict[str, Tensor]:
        return self._block(job.subject, job.name, job.attack, job.aim, self.images[rows], self._goals[rows])

    def _outcome(self, job: Job, blocks: Sequence[tuple[Tensor, dict[str, Tensor]]]) -> Outcome:
        """Return the outcome of an attack from its blocks: their rows, and what `_block` returns."""
        subject, count = job.subject, job.count
        images, labels, goals = self.images[:count], self.labels[:count], self._goals[:count]
        adversarial, costs = images.clone(), {name: torch.zeros(len(images)) for name in COSTS}
        for rows, made in blocks:
            adversarial[rows] = made["images"]
            for cost, per_image in costs.items():
                per_image[rows] = made[cost.removesuffix("_passes")].to(per_image)
        right, clean = self._before(subject)
        change = adversarial - images
        predicted = predictions(subject.model, adversarial, self.device)
        return Outcome(
            contender=subject.contender,
            phase=subject.phase,
            learnt=subject.learnt,
            attack=job.name,
            steps=getattr(job.attack, "steps", None),
            right_before=right[: len(images)],
            wrong=predicted != labels,
            reached=(predicted == goals) == self.targeted,
            scores=detector_scores(subject.contender.module, adversarial, self.device),
            clean_scores=clean[: len(images)],
            linf=norms.linf(change),
            l2=norms.l2(change).double(),
            span=(adversarial.amin().item(), adversarial.amax().item()),
            costs={name: per_image.mean().item() for name, per_image in costs.items()},
            given=job.given,
        )

    def _block(
        self, subject: Subject, name: str, attack: Attack, aim: Thresholded, images: Tensor, goals: Tensor
    ) -> dict[str, Tensor]:
        """Return adversarial images of a block with their costs; read from the disk if made before."""

        def made() -> dict[str, Tensor]:
            task = self.progress.add_task(f"{name} on {subject.name} ({subject.phase} retraining)", total=None)
            start = time.perf_counter()
            report = attack.report(subject.model, images.to(self.device), goals.to(self.device), detector=aim)
            seconds = torch.full_like(report.forward_passes, (time.perf_counter() - start) / len(images))
            self.progress.remove_task(task)
            costs = {"forward": report.forward_passes, "backward": report.backward_passes, "seconds": seconds}
            return {key: tensor.cpu() for key, tensor in ({"images": report.images} | costs).items()}

        if self._folder is None:
            return made()
        key = digest([self._identity(subject, attack), aim.threshold, of_tensor(images), of_tensor(goals)])
        return kept(self._folder, key, len(images), made)

    def _identity(self, subject: Subject, attack: Attack) -> str:
        """Return a digest of all inputs of the attack except for the clean images and the threshold."""
        module = subject.contender.module
        if id(module) not in self._digests:
            parts = [of_module(module), of_module(subject.model), of_code(module, subject.model)]
            self._digests[id(module)] = digest(parts)
        return digest([self._digests[id(module)], of_parameters(attack), of_code(attack), versions()])

    def right(self, subject: Subject) -> Tensor:
        """Return which clean images are classified right, (M,) bool."""
        return self._before(subject)[0]

    def _before(self, subject: Subject) -> tuple[Tensor, Tensor]:
        """Return which clean images are classified right, (M,), and their scores, (M,)."""
        key = id(subject.contender.module)
        if key not in self._clean:
            right = predictions(subject.model, self.images, self.device) == self.labels
            self._clean[key] = right, detector_scores(subject.contender.module, self.images, self.device)
        return self._clean[key]
