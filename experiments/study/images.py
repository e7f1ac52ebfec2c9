"""The test images of a run, clean and under its attacks, and what detectors score on them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakKeyDictionary

import torch
from rich.progress import Progress
from torch import Generator, Tensor, nn

from attacks import Attack
from data import ImageData
from data.pairs import predict
from data.store.identity import digest, of_code, of_module, of_tensor, versions
from data.store.sets import AdversarialSets
from data.store.shards import read_shard, write_shard
from detectors import Classifier
from detectors.base import ExplainingDetector
from detectors.explanations import Explanation
from detectors.scoring import explain, scores
from experiments.training.run_folder import Run


@dataclass(frozen=True)
class AttackedSet:
    """The test images under one attack, on the CPU.

    Attributes:
        name: Of the attack.
        attack: The attack itself.
        adversarial: (M, C, H, W), row by row the twins of the test images.
        before: (M,) classes predicted for the clean images.
        after: (M,) classes predicted for the twins.
        subsets: (M,) bool by name, which pairs belong: all, successful (right before, wrong after), failed (right
            before and after).
        success_rate: Share of the images classified right before that are wrong after; None if there are none.
        clean_accuracy: Share of the clean images classified right.
    """

    name: str
    attack: Attack
    adversarial: Tensor
    before: Tensor
    after: Tensor
    subsets: dict[str, Tensor]
    success_rate: float | None
    clean_accuracy: float
    _variants: dict[str, tuple[Tensor, str]] = field(default_factory=dict, repr=False)

    def variant(self, name: str, clean: Tensor) -> tuple[Tensor, str]:
        """Return another version of the twins, (M, C, H, W), and its digest; see `VARIANTS`.

        Args:
            name: adversarial, rounded or noise.
            clean: (M, C, H, W), the clean images.
        """
        if name not in self._variants:
            images = VARIANTS[name](clean, self.adversarial)
            self._variants[name] = images, of_tensor(images)
        return self._variants[name]


def rounded(_clean: Tensor, adversarial: Tensor) -> Tensor:
    """Return the images rounded to 8 bits, as a file would hold them (PROTOCOL A4)."""
    return (adversarial * 255).round() / 255


def norm_matched_noise(clean: Tensor, adversarial: Tensor) -> Tensor:
    """Return clean images with noise of the norms of their own perturbation: L0, L1, L2 and L-inf (PROTOCOL A5).

    The sizes of the perturbation's values are permuted within the image, and their signs are drawn among those with
    which the image stays in [0, 1]; nothing is clipped, so that all norms are the attack's, but for rounding. Each
    image's draws derive from its row alone.

    Args:
        clean: (M, C, H, W) in [0, 1].
        adversarial: (M, C, H, W) in [0, 1], their twins.
    """
    noisy = []
    for row, (image, twin) in enumerate(zip(clean, adversarial, strict=True)):
        generator = torch.Generator().manual_seed(row)
        values = image.flatten()
        sizes = _permuted((twin - image).flatten().abs(), torch.maximum(values, 1 - values), generator)
        up, down = sizes <= 1 - values, sizes <= values
        drawn = torch.randint(0, 2, sizes.shape, generator=generator, dtype=torch.bool)
        rises = torch.where(up == down, drawn, up)
        noisy.append((values + torch.where(rises, sizes, -sizes)).clamp(0, 1).view_as(image))
    return torch.stack(noisy) if noisy else clean.clone()


def _permuted(sizes: Tensor, room: Tensor, generator: Generator) -> Tensor:
    """Return sizes (n,) in a random order in which each has room (n,) enough.

    The largest choose first, each among the free places that are large enough; so there is always one, for the sizes
    had room in their own order. Those that fit everywhere are permuted at once.
    """
    order = sizes.argsort(descending=True)
    tight = int((sizes > room.min()).sum())
    free = torch.ones_like(room, dtype=torch.bool)
    result = torch.empty_like(sizes)
    for size in sizes[order[:tight]]:
        places = (free & (room >= size)).nonzero().flatten()
        if len(places) == 0:  # by a rounding
            places = (room * free).argmax().view(1)
        place = places[torch.randint(len(places), (1,), generator=generator)]
        result[place], free[place] = size, False
    rest = order[tight:]
    result[free] = sizes[rest[torch.randperm(len(rest), generator=generator)]]
    return result


_REMEMBERED: Final = 8
"""Explanations that are kept for the next detectors: a few kinds of a few versions of the images."""

VARIANTS: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "adversarial": lambda _clean, adversarial: adversarial,
    "rounded": rounded,
    "noise": norm_matched_noise,
}


class TestImages:
    """The test split of a run; attacked images and explanations come from the run's store, if it has one.

    With a store, scores are kept as well, under `report/scores`: an evaluation that is repeated or interrupted goes on.

    Args:
        run: The run.
        data: Its data module, set up.
        classifier: The attacked classifier, on the device.
        device: Where to compute.
        progress: Where to show what takes long.

    Attributes:
        clean: (M, C, H, W) in [0, 1], on the CPU.
        labels: (M,), the true classes.

    Raises:
        ValueError: If there are no test images.
    """

    __test__ = False  # not a test of pytest's

    def __init__(
        self, run: Run, data: ImageData, classifier: Classifier, device: torch.device, progress: Progress
    ) -> None:
        batches = list(data.test_dataloader())
        self.clean = torch.cat([batch.images for batch in batches])
        self.labels = torch.cat([batch.labels for batch in batches])
        self._batch_size = data.batch_size
        self._classifier = classifier
        self._device = device
        self._progress = progress
        store = run.store()
        self._sets = None if store is None else AdversarialSets(store, data, classifier, device, progress)
        self._kept = None if store is None else run.report / "scores"
        self._explanations: dict[tuple[str, str], Tensor] = {}
        self._known: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
        self._seen = self.clean, of_tensor(self.clean)

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
            before=before,
            after=after,
            subsets={"all": torch.ones_like(won), "successful": won, "failed": lost},
            success_rate=int(won.sum()) / count if count else None,
            clean_accuracy=count / len(right),
        )

    def scores(self, detector: nn.Module, under: AttackedSet | None = None, variant: str = "adversarial") -> Tensor:
        """Return the scores (M,) of the clean images, or of a variant of their twins under an attack, on the CPU.

        Args:
            detector: Any module that gives scores (N,) of images.
            under: An attack's images; None: the clean ones.
            variant: Of these; see `VARIANTS`.
        """
        images, content = self._seen if under is None else under.variant(variant, self.clean)
        if self._kept is None:
            return self._scored(detector, images, content, under, variant)
        if detector not in self._known:  # weights do not change while a run is evaluated
            self._known[detector] = digest([of_module(detector), of_code(detector), versions()])
        key = digest([self._known[detector], content])
        path = self._kept / f"{key}.pt"
        if not path.exists():
            found = self._scored(detector, images, content, under, variant)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_shard(path, key, 0, {"scores": found})
        return read_shard(path, key, 0, len(images))["scores"].clone()

    def _scored(
        self, detector: nn.Module, images: Tensor, content: str, under: AttackedSet | None, variant: str
    ) -> Tensor:
        explanation: Tensor | None = None
        if isinstance(detector, ExplainingDetector) and detector.takes_explanation:
            explanation = self._explained(detector.explanation, images, content, under, variant)
        return scores(detector, images, self._device, explanation=explanation)

    def _explained(
        self, explanation: Explanation, images: Tensor, content: str, under: AttackedSet | None, variant: str
    ) -> Tensor:
        """Return what an explanation says about images, shared by detectors; from the store where it has it."""
        key = of_module(explanation), content
        if key not in self._explanations:
            if len(self._explanations) >= _REMEMBERED:
                self._explanations.pop(next(iter(self._explanations)))
            if self._sets is not None and (under is None or variant == "adversarial"):
                kept = self._sets.explained("test", explanation, None if under is None else under.attack)
                self._explanations[key] = kept.read("values", torch.arange(len(kept)))
            else:
                self._explanations[key] = explain(explanation, images, self._device, self._batch_size)
        return self._explanations[key]

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
