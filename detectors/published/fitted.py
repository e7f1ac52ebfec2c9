"""The base of the published detectors that are fitted to clean images, without gradient descent."""

import os
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple

import torch
from torch import Tensor, nn

from attacks.errors import InputError
from attacks.guard import evaluation_mode
from detectors.published.features import Features, check_layers, features
from saliency.checkpoints import Portable

Clean = Iterable[tuple[Tensor, ...]]
"""Batches whose first two fields are images (N, C, H, W) in [0, 1] and labels (N,)."""

_OF_THE_FREE_MEMORY: Final = 0.5
"""How much of the memory the features may take."""


class Gathered(NamedTuple):
    """Features (M, d) of each layer, logits (M, K) and labels (M,) of clean images, on the CPU."""

    layers: list[Tensor]
    logits: Tensor
    labels: Tensor


class Fitted(Portable):
    """A detector that is fitted to clean images.

    A subclass has `fit`, `seen` and `score`. Its fitted values are buffers, which checkpoints hold; `fit` may change
    their shape.

    Args:
        classifier: The attacked classifier, logits (N, K) of images (N, C, H, W) in [0, 1]; frozen.

    Attributes:
        fitted: Whether `fit` was called, a buffer.
    """

    fitted: Tensor
    remedy: ClassVar = "set --data.train_limit"
    """Advice if the features do not fit in memory."""

    def __init__(self, classifier: Portable) -> None:
        super().__init__()
        self.classifier = classifier.requires_grad_(requires_grad=False)
        self.register_buffer("fitted", torch.tensor(data=False))

    @abstractmethod
    def fit(self, clean: Clean) -> None:
        """Fit the detector to clean images, those that detectors are trained on."""

    @abstractmethod
    def seen(self, images: Tensor) -> Features:
        """Return the classifier's logits for images (N, C, H, W), and all other values that the score needs."""

    @abstractmethod
    def score(self, seen: Features) -> Tensor:
        """Return scores (N,) of features, higher = more adversarial."""

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (N,), higher = more adversarial, of images (N, C, H, W) in [0, 1].

        Raises:
            ValueError: If the detector was not fitted.
        """
        return self.joint(images)[1]

    def joint(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the classifier's logits (N, K) and the scores (N,), from one pass."""
        self.require_fitted()
        seen = self.seen(images)
        return seen.logits, self.score(seen)

    def require_fitted(self) -> None:
        """Refuse to score before `fit`."""
        if not self.fitted:
            name = type(self).__name__
            msg = f"{name} was not fitted: call fit with batches of clean images, or load a fitted checkpoint"
            raise InputError(msg)

    def keep(self, **learnt: Tensor) -> None:
        """Store fitted values in the buffers of these names, on the classifier's device; count as fitted."""
        for name, value in learnt.items():
            setattr(self, name, value.to(self.fitted.device))
        self.fitted.fill_(value=True)

    @torch.no_grad()
    def gathered(self, clean: Clean) -> Gathered:
        """Return the features of all clean images.

        Raises:
            ValueError: If there are none, or their features would fill more than half of the free memory.
        """
        device = next((weights.device for weights in self.classifier.parameters()), torch.device("cpu"))
        parts: list[Features] = []
        labels: list[Tensor] = []
        with evaluation_mode(self.classifier):
            for images, classes, *_ in clean:
                seen = self.seen(images.to(device))
                parts.append(Features(seen.logits.cpu(), [layer.cpu() for layer in seen.layers]))
                labels.append(classes.cpu())
                if len(parts) == 1:
                    self._check_memory(seen, clean)
        if not parts:
            msg = f"{type(self).__name__} is fitted to clean images, and got none"
            raise InputError(msg)
        layers = [torch.cat(outputs) for outputs in zip(*(part.layers for part in parts), strict=True)]
        return Gathered(layers, torch.cat([part.logits for part in parts]), torch.cat(labels))

    def _check_memory(self, seen: Features, clean: Clean) -> None:
        """Refuse features that would not fit, before they are computed; `seen` are those of the first batch."""
        count = getattr(getattr(clean, "dataset", None), "__len__", int)()
        width = sum(layer[0].numel() for layer in seen.layers)
        needed, free = 4 * width * count, os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if needed > _OF_THE_FREE_MEMORY * free:
            msg = (
                f"the features of {count} images, {width} values each, take {needed / 2**30:.1f} GiB, more than half "
                f"of the {free / 2**30:.1f} GiB free: {self.remedy}"
            )
            raise InputError(msg)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        for name, buffer in self.named_buffers(recurse=False):
            saved = state_dict.get(f"{prefix}{name}")
            if saved is not None:  # its shape depends on the images that it was fitted to
                setattr(self, name, torch.empty_like(saved, device=buffer.device))
        super()._load_from_state_dict(state_dict, prefix, *args)


class FittedDetector(Fitted):
    """Scores images by features of the classifier, compared with those of clean images.

    A subclass has `fit` and `score`.

    Args:
        classifier: The attacked classifier, logits (N, K) of images (N, C, H, W) in [0, 1]; frozen.
        layers: Its layers, by the names of `named_modules`, or `penultimate`.
        pool: Whether feature maps are averaged over their places; else they are flattened.

    Raises:
        ValueError: If a layer does not exist; lists those that do.
    """

    remedy: ClassVar = "name fewer layers, set pool: true, or --data.train_limit"

    def __init__(self, classifier: Portable, layers: Sequence[str], *, pool: bool = True) -> None:
        super().__init__(classifier)
        check_layers(classifier, layers)
        self.layers = list(layers)
        self.pool = pool

    def seen(self, images: Tensor) -> Features:
        """Return the logits and features of images, from one pass."""
        return features(self.classifier, self.layers, images, pool=self.pool)


def by_class(values: Tensor, labels: Tensor, classes: int) -> list[Tensor]:
    """Return the rows of values (M, ...) of each class in [0, classes).

    Raises:
        ValueError: If a class has none.
    """
    groups = [values[labels == label] for label in range(classes)]
    empty = [label for label, group in enumerate(groups) if not len(group)]
    if empty:
        msg = f"there are no clean images of class {empty[0]}: fit to images of all {classes} classes"
        raise InputError(msg)
    return groups


def empty_buffers(module: nn.Module, *names: str) -> None:
    """Give a module buffers that hold nothing before it is fitted."""
    for name in names:
        module.register_buffer(name, torch.empty(0))


def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """Return the squared distances (N, M) of rows (N, d) to rows (M, d), without cancellation between near ones."""
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist").square()


def fixed_order(count: int) -> Tensor:
    """Return the numbers (count,) from 0 on, in a random order that is always the same."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))


def more_than(neighbours: int, images: int) -> None:
    """Refuse fewer clean images than neighbours sought among them, or as many.

    Raises:
        ValueError: If they are not.
    """
    if images <= neighbours:
        msg = f"{images} clean images are too few for neighbours={neighbours}: give more images, or lower neighbours"
        raise InputError(msg)
