"""One call of an attack: its model, images and labels, its random numbers, and the count of its passes."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor, nn

_PIXELS_PER_THREAD = 2**15
"""Pixels of a micro-batch on the CPU: larger ones lose up to 60 % because activations leave the cache."""
_PIXELS_ON_A_DEVICE = 2**23


@dataclass(frozen=True)
class Problem:
    """One call of an attack, checked and copied by the guard; `problem[rows]` is the problem of some of its images.

    Attributes:
        model: Gives logits (N, K); in eval mode, gradients are recorded.
        images: (N, C, H, W) in [0, 1], N at least 1; not to be overwritten.
        labels: (N,), the labels to leave, or the targets; zeros where only predictions are asked.
        detector: Gives scores (N,), above 0 means rejected; None unless the attack `needs_detector`.
        region: (N, 1, H, W) bool, where pixels may change; None: everywhere.
        seed: What `generators` starts from.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    detector: nn.Module | None = None
    region: Tensor | None = None
    seed: int = 0

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, rows: Any) -> "Problem":
        """Return the problem of some images only, by a slice, indices or a mask; passes are counted as theirs."""
        return replace(
            self,
            model=self.model.select(rows) if isinstance(self.model, View) else self.model,
            images=self.images[rows],
            labels=self.labels[rows],
            region=None if self.region is None else self.region[rows],
        )

    def chunks(self) -> Iterator["Problem"]:
        """Split into problems small enough that a pass through a convolutional network stays in the cache."""
        for start, end in self._bounds(len(self)):
            yield self[start:end]

    def batches(self, rows: Tensor) -> Iterator[Tensor]:
        """Split indices (n,) of some images into such parts."""
        for start, end in self._bounds(len(rows)):
            yield rows[start:end]

    def together(self) -> int:
        """Return how many images at most go through the network at once."""
        pixels = self.images.shape[2:].numel()
        on_cpu = self.images.device.type == "cpu"
        budget = _PIXELS_PER_THREAD * torch.get_num_threads() if on_cpu else _PIXELS_ON_A_DEVICE
        return max(4, budget // pixels)

    def _bounds(self, images: int) -> Iterator[tuple[int, int]]:
        count = -(-images // self.together())
        # of nearly equal size: a small rest is slow; of no images none: no network is asked about nothing
        return pairwise(images * i // max(1, count) for i in range(count + 1))

    def joint(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, K) and the detector's scores (N,) of images; only where the attack `needs_detector`."""
        logits, scores = self.model.joint(images)  # type: ignore[operator]
        return logits, scores

    def surrogates(self, images: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return what `joint` returns, and scores (N,) of the detector's parts by name."""
        logits, scores, parts = self.model.surrogates(images)  # type: ignore[operator]
        return logits, scores, parts

    def representation_step(self, images: Tensor, step_size: float) -> Tensor:
        """Return the change of the images in a step of the detector's representation; only where it offers that."""
        change: Tensor = self.model.representation_step(images, step_size)  # type: ignore[operator]
        return change

    def within_region(self, change: Tensor) -> Tensor:
        """Return a change (N, C, H, W) with zeros where pixels may not change."""
        return change if self.region is None else change * self.region

    def generators(self) -> list[Generator]:
        """Return a CPU generator per image, seeded by `seed` and the image's own values.

        So what is drawn for an image depends neither on its neighbours in the batch, nor on its place or device.
        """
        contents = [image.contiguous().numpy().tobytes() for image in self.images.cpu()]
        # 32 bits: torch's CPU generator leaves out what lies above
        return [Generator().manual_seed(zlib.crc32(content, self.seed)) for content in contents]


@torch.no_grad()
def predictions(problem: Problem) -> Tensor:
    """Return the classes (N,) that a problem's model predicts for its images, N from 0 on."""
    none = torch.zeros(0, dtype=torch.long, device=problem.images.device)
    return torch.cat([none, *(part.model(part.images).argmax(1) for part in problem.chunks())])


def drawn(
    generators: list[Generator], *shape: int, dtype: torch.dtype | None = None, draw: Callable[..., Tensor] = torch.rand
) -> Tensor:
    """Return numbers (N, *shape) on the CPU, drawn by each image's own generator; by default uniform in [0, 1)."""
    return torch.stack([draw(shape, generator=generator, dtype=dtype) for generator in generators])


def seed_of(generator: Generator | None) -> int:
    """Return a number drawn from a generator; 0 without one."""
    if generator is None:
        return 0
    return int(torch.randint(2**31, (), generator=generator, device=generator.device))


class Passes:
    """Images that went forward and gradients that came back, per image of a call.

    A pass through model and detector together counts once.
    """

    def __init__(self, images: Tensor) -> None:
        self.forward = torch.zeros(len(images), device=images.device)
        self.backward = torch.zeros(len(images), device=images.device)


class View(nn.Module, ABC):
    """What an attack sees of the networks, for some images of a call; a subclass changes or counts what it sees."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @abstractmethod
    def select(self, rows: Any) -> "View":
        """Return the view for some of this view's images, by a slice, indices or a mask."""

    def of_model(self, rows: Any) -> nn.Module:
        """Return the model beneath for some of this view's images."""
        return self.model.select(rows) if isinstance(self.model, View) else self.model

    def forward(self, images: Tensor) -> Tensor:
        """Return the model's logits (N, K)."""
        logits: Tensor = self.model(images)
        return logits

    def joint(self, images: Tensor) -> Any:
        """Return what the guard's `joint` does."""
        return self.model.joint(images)  # type: ignore[operator]

    def surrogates(self, images: Tensor) -> Any:
        """Return what the guard's `surrogates` does."""
        return self.model.surrogates(images)  # type: ignore[operator]

    def representation_step(self, images: Tensor, step_size: float) -> Any:
        """Return what the guard's `representation_step` does."""
        return self.model.representation_step(images, step_size)  # type: ignore[operator]


class Counted(View):
    """A view of a model that counts its passes for some images of a call.

    A batch of another length than the view's images (an attack that repeats or splits them by itself) is spread evenly.
    `rows` (n,) are the images of the call that this view serves; None: all.
    """

    def __init__(self, model: nn.Module, passes: Passes, rows: Tensor | None = None) -> None:
        super().__init__(model)
        self.passes = passes
        self.rows = torch.arange(len(passes.forward), device=passes.forward.device) if rows is None else rows

    def select(self, rows: Any) -> "Counted":
        """Return a view for some of this view's images."""
        view = Counted(self.model, self.passes, self.rows[rows])
        view.training = self.training
        return view

    def forward(self, images: Tensor) -> Tensor:
        """Return the model's logits."""
        logits: Tensor = self.model(images)
        self._count(self.passes.forward, len(images))
        if logits.requires_grad:
            logits.register_hook(lambda gradient: self._count(self.passes.backward, len(gradient)))  # type: ignore[no-untyped-call]
        return logits

    def joint(self, images: Tensor) -> Any:
        """Return what the guard's `joint` does."""
        return self._together(self.model.joint, images)  # type: ignore[arg-type]

    def surrogates(self, images: Tensor) -> Any:
        """Return what the guard's `surrogates` does."""
        return self._together(self.model.surrogates, images)  # type: ignore[arg-type]

    def representation_step(self, images: Tensor, step_size: float) -> Any:
        """Return what the guard's `representation_step` does, which takes one gradient."""
        change = self.model.representation_step(images, step_size)  # type: ignore[operator]
        self._count(self.passes.forward, len(images))
        self._count(self.passes.backward, len(images))
        return change

    def _together(self, function: Callable[[Tensor], Any], images: Tensor) -> Any:
        seen = images.view_as(images)  # whatever comes back to it, through either network, is one backward pass
        if seen.requires_grad:
            seen.register_hook(lambda gradient: self._count(self.passes.backward, len(gradient)))  # type: ignore[no-untyped-call]
        outputs = function(seen)
        self._count(self.passes.forward, len(images))
        return outputs

    def _count(self, passes: Tensor, images: int) -> None:
        passes.index_add_(0, self.rows, torch.full_like(self.rows, images / len(self.rows), dtype=passes.dtype))
