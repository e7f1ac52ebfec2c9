"""The test images of a run, clean and under its attacks, and the scores of detectors on them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

import torch
from rich.progress import Progress
from torch import Generator, Tensor, nn

from attacks import Attack, norms
from data import ImageData
from data.store.identity import digest, of_code, of_module, of_tensor, versions
from data.store.sets import AdversarialSets
from data.store.store import Store
from detectors import Classifier
from detectors.explanations import Explanation, UsesExplanation
from detectors.scoring import explain
from experiments.study.batches import columns, detector_scores, outputs, under_attack
from experiments.study.kept_tensors import kept
from experiments.study.rows import Rows, combined, on_disk, rows_of

CHANGED: Final = 1e-6
"""The smallest change of a value that counts."""


@dataclass(frozen=True)
class AttackedSet:
    """The test images under one attack, on the CPU.

    Attributes:
        adversarial: (M, C, H, W), in the order of the clean images; read when they are asked for.
        before: (M,) classes predicted for the clean images.
        after: (M,) classes predicted for the adversarial images.
        subsets: (M,) bool by name, which pairs belong: all, successful (right before, wrong after), failed (right
            before and after).
        success_rate: Share of the images classified right before that are wrong after; None if there are none.
        clean_accuracy: Share of the clean images classified right.
    """

    name: str
    attack: Attack
    adversarial: Rows
    before: Tensor
    after: Tensor
    subsets: dict[str, Tensor]
    success_rate: float | None
    clean_accuracy: float
    _variants: dict[str, tuple[Rows, str]] = field(default_factory=dict, repr=False)

    def variant(self, name: str, clean: Rows) -> tuple[Rows, str]:
        """Return a variant of the adversarial images, (M, C, H, W), and its digest.

        Args:
            name: One of `VARIANTS`.
            clean: (M, C, H, W).
        """
        if name not in self._variants:
            images = VARIANTS[name](clean, self.adversarial)
            self._variants[name] = images, images.digest()
        return self._variants[name]


def rounded(adversarial: Tensor) -> Tensor:
    """Return the adversarial images rounded to 8 bits, as a file holds them (PROTOCOL A4)."""
    return (adversarial * 255).round() / 255


def norm_matched_noise(clean: Tensor, adversarial: Tensor, rows: Iterable[int] | None = None) -> Tensor:
    """Return clean images with noise of the L0, L1, L2 and L-inf norms of their perturbation (PROTOCOL A5).

    The sizes of the perturbation's values are permuted within the image. Their signs are drawn among those that keep
    the image in [0, 1], so nothing is clipped, and the norms are the attack's up to rounding. The draws of an image
    depend on its row only.

    Args:
        clean: (M, C, H, W) in [0, 1].
        adversarial: (M, C, H, W) in [0, 1].
        rows: M numbers; None: from 0 on.
    """
    noisy = []
    numbers = range(len(clean)) if rows is None else rows
    for row, image, attacked in zip(numbers, clean, adversarial, strict=True):
        generator = torch.Generator().manual_seed(row)
        values = image.flatten()
        sizes = _permuted((attacked - image).flatten().abs(), torch.maximum(values, 1 - values), generator)
        up, down = sizes <= 1 - values, sizes <= values
        drawn = torch.randint(0, 2, sizes.shape, generator=generator, dtype=torch.bool)
        rises = torch.where(up == down, drawn, up)
        noisy.append((values + torch.where(rises, sizes, -sizes)).clamp(0, 1).view_as(image))
    return torch.stack(noisy) if noisy else clean.clone()


def _noise(clean: Rows, adversarial: Rows) -> Rows:
    """Return `norm_matched_noise` of all images, on disk."""

    def of(rows: Tensor) -> list[Tensor]:
        return [norm_matched_noise(clean[rows], adversarial[rows], rows.tolist())]

    return on_disk(part for (part,) in outputs(of, torch.arange(len(clean)), device=torch.device("cpu")))


def noise_ratios(clean: Tensor | Rows, adversarial: Tensor | Rows, noisy: Tensor | Rows) -> dict[str, float | None]:
    """Return how large noise is against an attack: the smallest ratio over the images of the L0, L2 and L-inf norms.

    A value counts as changed, for L0, from a change of `CHANGED` on: float32 rounds smaller ones away.

    Args:
        clean: (M, C, H, W) in [0, 1].
        adversarial: (M, C, H, W).
        noisy: (M, C, H, W), the clean images with noise.

    Returns:
        By the norm's name; None where the attack changes no image.
    """
    sizes = {"l0": lambda change: norms.l0((change.abs() >= CHANGED).double()), "l2": norms.l2, "linf": norms.linf}

    def of(clean: Tensor, adversarial: Tensor, noisy: Tensor) -> list[Tensor]:
        return [size(noisy - clean).double() / size(adversarial - clean) for size in sizes.values()]

    of_images = columns(of, clean, adversarial, noisy, device=torch.device("cpu"))
    ratios = dict(zip(sizes, of_images, strict=True))
    moved = {name: values[values.isfinite()] for name, values in ratios.items()}
    return {name: values.min().item() if len(values) else None for name, values in moved.items()}


def _permuted(sizes: Tensor, room: Tensor, generator: Generator) -> Tensor:
    """Return sizes (n,) in a random order in which none exceeds the room (n,) at its place.

    The largest choose first, each among the free places with enough room: there is one, for the given order has room.
    Those that fit everywhere are permuted at once.
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
"""Explanations kept in memory for the next detectors."""

VARIANTS: Final[dict[str, Callable[[Rows, Rows], Rows]]] = {
    "adversarial": lambda _clean, adversarial: adversarial,
    "rounded": lambda _clean, adversarial: combined(rounded, adversarial),
    "noise": _noise,
}


class TestImages:
    """The test split of a run, and the scores of detectors on it.

    With a store, attacked images and explanations are read from it, and scores are kept: a repeated or interrupted
    evaluation computes only what is missing.

    Args:
        data: Set up.
        classifier: The attacked classifier, on the device.
        device: Where to compute.
        progress: Shows the progress of long steps.
        store: The store of adversarial sets; None: they are made on the fly.
        scores_folder: Where scores are kept; None: nowhere.

    Attributes:
        clean: (M, C, H, W) in [0, 1]; read when they are asked for.
        labels: (M,), the true classes.

    Raises:
        ValueError: If there are no test images.
    """

    __test__ = False  # not a test of pytest's

    def __init__(
        self,
        data: ImageData,
        classifier: Classifier,
        device: torch.device,
        progress: Progress,
        store: Store | None = None,
        scores_folder: Path | None = None,
    ) -> None:
        self.labels = data.split("test").labels
        self.clean = on_disk(batch.images for batch in data.test_dataloader())
        self._batch_size = data.batch_size
        self._classifier = classifier
        self._device = device
        self._progress = progress
        self._sets = None if store is None else AdversarialSets(store, data, classifier, device, progress)
        self._scores_folder = scores_folder
        self._explanations: dict[tuple[str, str], Rows] = {}
        self._digests: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
        self._clean_digest = self.clean.digest()

    def under(self, name: str, attack: Attack) -> AttackedSet:
        """Return the test images under an attack."""
        adversarial, before, after = self._attacked(name, attack)
        right, wrong = before == self.labels, after != self.labels
        count = int(right.sum())
        return AttackedSet(
            name=name,
            attack=attack,
            adversarial=adversarial,
            before=before,
            after=after,
            subsets={"all": torch.ones_like(right), "successful": right & wrong, "failed": right & ~wrong},
            success_rate=int((right & wrong).sum()) / count if count else None,
            clean_accuracy=count / len(right),
        )

    def scores(self, detector: nn.Module, under: AttackedSet | None = None, variant: str = "adversarial") -> Tensor:
        """Return a detector's scores (M,) of the clean images, or of images under an attack, on the CPU.

        Args:
            detector: Any module that gives scores (N,) of images.
            under: An attack's images; None: the clean ones.
            variant: Which of the attack's images, one of `VARIANTS`.
        """
        images, content = (self.clean, self._clean_digest) if under is None else under.variant(variant, self.clean)

        stored = self._sets is not None and (under is None or variant == "adversarial")
        attack = None if under is None else under.attack
        return self._kept(detector, images, content, attack, stored=stored)

    def scores_of(self, detector: nn.Module, images: Tensor) -> Tensor:
        """Return a detector's scores (n,) of any images (n, C, H, W) in [0, 1], on the CPU."""
        return self._kept(detector, images, of_tensor(images))

    def _kept(
        self,
        detector: nn.Module,
        images: Tensor | Rows,
        content: str,
        attack: Attack | None = None,
        *,
        stored: bool = False,
    ) -> Tensor:
        """Return scores (n,) from the folder, or make and keep them.

        Args:
            detector: Gives scores.
            images: (n, C, H, W).
            content: Their digest.
            attack: That made them; None: they are clean.
            stored: Whether the store may hold their explanations.
        """

        def made() -> dict[str, Tensor]:
            explanation: Rows | None = None
            if isinstance(detector, UsesExplanation) and detector.takes_explanation:
                explanation = self._explained(detector.explanation, images, content, attack, stored=stored)
            return {"scores": detector_scores(detector, images, self._device, explanation)}

        return self.kept([detector], content, len(images), made)["scores"]

    def kept(
        self, modules: Sequence[nn.Module], content: str, rows: int, make: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Return tensors that modules make of images: from the folder of scores, or made and kept there.

        Args:
            modules: All that compute the tensors.
            content: A digest of the images, and of all else that the tensors depend on.
            rows: Length of each tensor.
            make: Computes the tensors, by name.
        """
        if self._scores_folder is None:
            return make()
        return kept(self._scores_folder, digest([*map(self._digest, modules), content]), rows, make)

    def _digest(self, module: nn.Module) -> str:
        if module not in self._digests:  # weights do not change while a run is evaluated
            self._digests[module] = digest([of_module(module), of_code(module), versions()])
        return self._digests[module]

    def _explained(
        self, explanation: Explanation, images: Tensor | Rows, content: str, attack: Attack | None, *, stored: bool
    ) -> Rows:
        """Return the explanations of images, shared by detectors; from the store where it holds them."""
        key = of_module(explanation), content
        if key not in self._explanations:
            if len(self._explanations) >= _REMEMBERED:
                self._explanations.pop(next(iter(self._explanations)))
            if stored and self._sets is not None:
                self._explanations[key] = rows_of(self._sets.explained("test", explanation, attack), "values")
            else:
                explained = partial(explain, explanation, device=self._device)
                parts = outputs(lambda batch: [explained(batch)], images, device=self._device, size=self._batch_size)
                self._explanations[key] = on_disk(part for (part,) in parts)
        return self._explanations[key]

    def _attacked(self, name: str, attack: Attack) -> tuple[Rows, Tensor, Tensor]:
        """Return the adversarial images, and the classes predicted before and after."""
        if self._sets is not None:
            kept_set = self._sets.attacked("test", attack)
            return rows_of(kept_set, "images"), rows_of(kept_set, "before")[:], rows_of(kept_set, "after")[:]
        options = {"device": self._device, "size": self._batch_size, "progress": self._progress}
        classes: list[list[Tensor]] = []

        def parts() -> Iterator[Tensor]:
            about = f"attacking with {name}"
            for adversarial, *both in under_attack(attack, self._classifier, self.clean, **options, about=about):
                classes.append(both)
                yield adversarial

        images = on_disk(parts())
        before, after = (torch.cat(column) for column in zip(*classes, strict=True))
        return images, before, after
