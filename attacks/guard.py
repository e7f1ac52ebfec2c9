"""What every attack needs around it: checked input, eval mode, gradients on, nothing of the caller's changed."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

_DIMENSIONS = 4
"""Of a batch of images: (N, C, H, W)."""


@contextmanager
def evaluation_mode(*modules: nn.Module | None) -> Iterator[None]:
    """Put every sub-module in eval mode, and each back as it was, also after an exception.

    Args:
        modules: The modules; None is passed over.
    """
    flags = [(part, part.training) for module in modules if module is not None for part in module.modules()]
    try:
        for part, _ in flags:
            part.training = False
        yield
    finally:
        for part, training in flags:
            part.training = training


@contextmanager
def gradients(device: torch.device) -> Iterator[None]:
    """Leave inference mode, record gradients, compute in full precision.

    Lightning tests run in inference mode, and mixed-precision training in autocast; an attack needs neither.

    Args:
        device: Where the images are; its autocast is switched off.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast(device.type, enabled=False))
        yield


class Layout:
    """The convolution weights of a model, laid out channels last on the CPU, where that is faster.

    The values are the same; only the rounding of a convolution may differ in the last bits. For one thread at a time.

    Args:
        model: Its 4-dimensional parameters on the CPU are laid out anew until `undo`.
    """

    def __init__(self, model: nn.Module) -> None:
        weights = [
            weight for weight in model.parameters() if weight.ndim == _DIMENSIONS and weight.device.type == "cpu"
        ]
        self._originals = [(weight, weight.data) for weight in weights]
        for weight, data in self._originals:
            weight.data = data.to(memory_format=torch.channels_last)  # `contiguous` would leave one channel as it is

    def undo(self) -> bool:
        """Put the caller's own storage back; return whether that changed anything."""
        changed = bool(self._originals)
        while self._originals:
            weight, data = self._originals.pop()
            weight.data = data
        return changed


class Guarded(nn.Module):
    """A model whose first logits are checked, and which does without `Layout` where its code does not bear it.

    `x.view(len(x), -1)` after a convolution fails on channels-last activations; such a model goes on in its own layout.

    Args:
        model: Gives logits (N, K).
        layout: Of its weights.
    """

    def __init__(self, model: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.training = False  # the model's own mode is `evaluation_mode`'s matter
        self.model = model
        self._layout = layout
        self._largest_label: int | None = None

    def expect(self, labels: Tensor) -> None:
        """Refuse labels that the model has no logit for, at its next pass; costs no pass of its own.

        Args:
            labels: (N,), N at least 1.

        Raises:
            ValueError: At the next pass, if a label is K or more.
        """
        self._largest_label = int(labels.max())

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K) of images (N, C, H, W)."""
        try:
            logits: Tensor = self.model(images)
        except RuntimeError:
            if not self._layout.undo():
                raise
            logits = self.model(images)
        if self._largest_label is not None and self._largest_label >= logits.shape[1]:
            msg = f"labels must be below the model's {logits.shape[1]} classes, got {self._largest_label}"
            raise ValueError(msg)
        self._largest_label = None
        return logits


@contextmanager
def guarded(model: nn.Module) -> Iterator[Guarded]:
    """Yield the model behind its guard, and put its weights back as they were, also after an exception.

    Args:
        model: Gives logits (N, K).
    """
    layout = Layout(model)
    try:
        yield Guarded(model, layout)
    finally:
        layout.undo()


def check_images(images: Tensor) -> None:
    """Refuse what is not a batch of images.

    Args:
        images: (N, C, H, W), float32 or float64, finite, in [0, 1].

    Raises:
        ValueError: If it is not; says what was received.
    """
    if images.ndim != _DIMENSIONS or images.dtype not in {torch.float32, torch.float64}:
        msg = (
            f"images must be a float32 (or float64) tensor (N, C, H, W), got {images.dtype} of shape "
            f"{tuple(images.shape)}"
        )
        raise ValueError(msg)
    if images.numel() == 0:
        return
    low, high = images.detach().aminmax()
    if not (low >= 0 and high <= 1):  # also true for NaN
        msg = (
            f"images must be finite and in [0, 1], got values from {low.item():g} to {high.item():g}; "
            "scale them, and make normalisation the model's first layer"
        )
        raise ValueError(msg)


def check_labels(labels: Tensor, images: Tensor) -> None:
    """Refuse labels that do not fit the images.

    Args:
        labels: (N,), integer.
        images: (N, C, H, W).

    Raises:
        ValueError: If the shape or the type is another one.
    """
    if labels.shape != images.shape[:1] or labels.is_floating_point() or labels.dtype == torch.bool:
        msg = f"labels must be integers of shape ({len(images)},), got {labels.dtype} of shape {tuple(labels.shape)}"
        raise ValueError(msg)
    if labels.numel() and labels.min() < 0:
        msg = f"labels must be classes from 0 on, got {labels.min().item()}"
        raise ValueError(msg)


def check_region(region: Tensor, images: Tensor) -> Tensor:
    """Return the region as a mask that fits the images.

    Args:
        region: (N, 1, H, W) or (1, 1, H, W), of 0 and 1 or bool; 1 marks what may change.
        images: (N, C, H, W).

    Returns:
        (N, 1, H, W), bool.

    Raises:
        ValueError: If the shape or a value is another one.
    """
    count, _, height, width = images.shape
    if region.ndim != _DIMENSIONS or region.shape[1:] != (1, height, width) or region.shape[0] not in {1, count}:
        msg = f"region must have shape ({count}, 1, {height}, {width}), got {tuple(region.shape)}"
        raise ValueError(msg)
    if not torch.all((region == 0) | (region == 1)):
        msg = "region must hold only 0 and 1 (1 marks the pixels that may change)"
        raise ValueError(msg)
    return region.bool().expand(count, 1, height, width)
