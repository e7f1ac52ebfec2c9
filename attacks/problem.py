"""One call of an attack: its model, images, labels, random numbers, and counted passes."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Generator, Tensor, nn

_PIXELS_PER_THREAD = 2**15
"""Pixels of a micro-batch on the CPU. Larger ones are up to 60 % slower because activations leave the cache."""
_PIXELS_ON_A_DEVICE = 2**23


@dataclass(frozen=True)
class Problem:
    """One call of an attack, checked and copied by the guard; `problem[rows]` is the problem of some of its images.

    Attributes:
        model: Gives logits (N, K); in eval mode, gradients are recorded.
        images: (N, C, H, W) in [0, 1], N at least 1; not to be overwritten.
        labels: (N,), the labels to leave, or the targets; zeros if only predictions are computed.
        detector: Gives scores (N,), above 0 means rejected; None unless the attack `needs_detector`.
        region: (N, 1, H, W) bool, where pixels may change; None: everywhere.
        seed: The seed of `generators`, an integer.
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
        """Return the problem for some images, given by a slice, indices or a mask; passes are counted as theirs."""
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
        """Split indices (n,) of images into such parts."""
        for start, end in self._bounds(len(rows)):
            yield rows[start:end]

    def together(self) -> int:
        """Return the largest number of images that go through the network at once."""
        pixels = self.images.shape[2:].numel()
        on_cpu = self.images.device.type == "cpu"
        budget = _PIXELS_PER_THREAD * torch.get_num_threads() if on_cpu else _PIXELS_ON_A_DEVICE
        return max(4, budget // pixels)

    def _bounds(self, images: int) -> Iterator[tuple[int, int]]:
        count = -(-images // self.together())
        # parts of nearly equal size, since a small last one is slow; no images give no part
        return pairwise(images * i // max(1, count) for i in range(count + 1))

    def joint(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, K) and the detector's scores (N,) of images; only for attacks that `needs_detector`."""
        logits, scores = self.model.joint(images)  # type: ignore[operator]
        return logits, scores

    def surrogates(self, images: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return logits (N, K), scores (N,), and a dict of scores (N,) of the detector's parts."""
        logits, scores, parts = self.model.surrogates(images)  # type: ignore[operator]
        return logits, scores, parts

    def representation_step(self, images: Tensor, step_size: float) -> Tensor:
        """Return the change of the images in a step of the representation; only for detectors with that method."""
        change: Tensor = self.model.representation_step(images, step_size)  # type: ignore[operator]
        return change

    def within_region(self, change: Tensor) -> Tensor:
        """Return a change (N, C, H, W) with zeros where pixels may not change."""
        return change if self.region is None else change * self.region

    def generators(self) -> list[Generator]:
        """Return a CPU generator per image, seeded by `seed` and the image's own values.

        So an image's draws depend neither on its neighbours or place in the batch, nor on the device.
        """
        contents = [image.contiguous().numpy().tobytes() for image in self.images.cpu()]
        # torch's CPU generator ignores higher bits than 32
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
    """The networks as an attack sees them, for some images of a call; a subclass changes or counts their outputs."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    @abstractmethod
    def select(self, rows: Any) -> "View":
        """Return the view of some of these images, given by a slice, indices or a mask."""

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

    The passes of a batch of another length (an attack may repeat or split its images) are spread evenly over the
    images. `rows` (n,) are the indices of this view's images in the call; None: all.
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
        seen = images.view_as(images)  # a gradient that arrives here, through either network, is one backward pass
        if seen.requires_grad:
            seen.register_hook(lambda gradient: self._count(self.passes.backward, len(gradient)))  # type: ignore[no-untyped-call]
        outputs = function(seen)
        self._count(self.passes.forward, len(images))
        return outputs

    def _count(self, passes: Tensor, images: int) -> None:
        passes.index_add_(0, self.rows, torch.full_like(self.rows, images / len(self.rows), dtype=passes.dtype))
