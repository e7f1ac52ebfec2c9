"""The guard around every attack: it checks the input, sets eval mode, records gradients, and restores the state."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from attacks.errors import InputError
from attacks.outputs import FirstOutputs, named

_DIMENSIONS = 4
"""The dimensions of a batch of images (N, C, H, W)."""
_LOGITS = 2
"""The dimensions of logits (N, K)."""
_BYTES: Final = ": images.float() / 255 makes them of bytes"


@contextmanager
def evaluation_mode(*modules: nn.Module | None) -> Iterator[None]:
    """Put every sub-module in eval mode, and restore each one's mode, also after an exception; None is skipped."""
    flags = [(part, part.training) for module in modules if module is not None for part in module.modules()]
    try:
        for part, training in flags:
            if training:  # setting an attribute of a module is slow
                part.training = False
        yield
    finally:
        for part, training in flags:
            if part.training != training:
                part.training = training


@contextmanager
def gradients(device: torch.device) -> Iterator[None]:
    """Leave inference mode, record gradients, compute in full precision.

    Lightning tests run in inference mode, and mixed-precision training in autocast on the device; an attack needs
    neither.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast(device.type, enabled=False))
        yield


@contextmanager
def frozen_weights(model: nn.Module) -> Iterator[None]:
    """Switch off the parameters' `requires_grad` for the time of the context, so that their gradients do not change."""
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    try:
        for weight in learning:
            weight.requires_grad = False
        yield
    finally:
        for weight in learning:
            weight.requires_grad = True


class Layout:
    """The convolution weights of models, laid out channels last on the CPU, where that is faster.

    The values are the same; only the rounding of a convolution may differ in the last bits. For one thread at a time.
    """

    def __init__(self, *models: nn.Module | None) -> None:
        parameters = dict.fromkeys(weight for model in models if model is not None for weight in model.parameters())
        weights = [weight for weight in parameters if weight.ndim == _DIMENSIONS and weight.device.type == "cpu"]
        self._originals = [(weight, weight.data) for weight in weights]
        for weight, data in self._originals:
            weight.data = data.to(memory_format=torch.channels_last)  # `contiguous` would leave one channel as it is
        self._in_rows = not weights

    def in_rows(self) -> bool:
        """Lay the weights out in rows until `undo`; return whether that changed anything."""
        changed, self._in_rows = not self._in_rows, True
        if changed:  # the caller's own layout may be another guard's: an attack inside an attack
            for weight, data in self._originals:
                weight.data = data.to(memory_format=torch.contiguous_format)
        return changed

    def undo(self) -> None:
        """Put the caller's own storage back."""
        while self._originals:
            weight, data = self._originals.pop()
            weight.data = data


class Guarded(nn.Module):
    """A model and a detector whose first outputs are checked; their weights are laid out in rows if `Layout` fails.

    `x.view(len(x), -1)` after a convolution fails on channels-last activations: the weights are then laid out in rows.
    A network that overwrites its images, as `Normalize(inplace=True)` does, is refused: later passes would see other
    ones.

    Args:
        model: Gives logits (N, K).
        layout: The memory layout of the model's and the detector's weights.
        detector: Gives scores (N,). If its attribute `classifier` is the model, it may offer `joint(images)`: logits
            and scores from one pass through the model. It may also offer `surrogates(images)`: logits, scores, and a
            dict of differentiable scores (N,) of its parts, higher = more adversarial.
        classes: The smallest accepted number of classes K.
    """

    def __init__(self, model: nn.Module, layout: Layout, detector: nn.Module | None = None, classes: int = 1) -> None:
        super().__init__()
        self.training = False  # `evaluation_mode` sets the mode of the model
        self.model = model
        self.detector = detector
        self._layout = layout
        self._outputs = FirstOutputs(model, detector)
        self._classes = classes
        self._largest_label: int | None = None
        self._shares = detector is not None and getattr(detector, "classifier", None) is model

    def expect(self, labels: Tensor) -> None:
        """Check labels (N,), N at least 1, at the model's next pass: each must have a logit."""
        self._largest_label = int(labels.max())

    @torch.no_grad()
    def settle(self, images: Tensor) -> None:
        """Run the model on images (N, C, H, W) if labels are still unchecked."""
        if self._largest_label is not None:
            self(images)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (N, K) of images (N, C, H, W)."""
        logits: Tensor = self._safely(self.model, images)
        self._check(logits)
        self._outputs.look(images, logits, None)
        return _fitted(logits, images)

    def joint(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, K) and the detector's scores (N,), from one pass through the model if it offers that."""
        logits, scores = self._safely(self._joint, images)
        self._check(logits, scores)
        self._outputs.look(images, logits, scores)
        return _fitted(logits, images), _fitted(scores, images)

    def surrogates(self, images: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return logits (N, K), scores (N,), and a dict of scores (N,) of the detector's parts, maybe empty."""
        logits, scores, parts = self._safely(self._surrogates, images)
        self._check(logits, scores, *parts.values())
        self._outputs.look(images, logits, scores)
        fitted = {name: _fitted(part, images) for name, part in parts.items()}
        return _fitted(logits, images), _fitted(scores, images), fitted

    def representation_step(self, images: Tensor, step_size: float) -> Tensor:
        """Return the change (N, C, H, W) or (N, 1, H, W) from the detector's method of this name."""
        change: Tensor = self._safely(self.detector.representation_step, images, step_size)  # type: ignore[union-attr, arg-type]
        return change.to(images.dtype)

    def conclude(self) -> None:
        """Warn about gradients that were exactly 0; called at the end."""
        self._outputs.conclude()

    def _joint(self, images: Tensor) -> Any:
        offered = getattr(self.detector, "joint", None)
        return offered(images) if self._shares and offered else (self.model(images), self._scores(images))

    def _surrogates(self, images: Tensor) -> Any:
        offered = getattr(self.detector, "surrogates", None)
        return offered(images) if self._shares and offered else (*self._joint(images), {})

    def _scores(self, images: Tensor) -> Any:
        if self.detector is None:
            msg = "there is no detector to ask: only attacks with needs_detector have one"
            raise InputError(msg)
        return asked(self.detector, images)

    def _safely(self, function: Callable[..., Any], images: Tensor, *rest: Any) -> Any:
        """Call a function of images, again in another layout if it fails; refuse one that overwrites the images."""
        version = images._version  # noqa: SLF001 - torch's count of writes
        try:
            outputs = function(images, *rest)
        except RuntimeError as error:
            if "leaf Variable" in str(error):  # torch itself refuses writing on images that take a gradient
                raise self._writes() from error
            if not self._layout.in_rows():
                raise
            outputs = function(images, *rest)
        if images._version != version:  # noqa: SLF001
            raise self._writes()
        return outputs

    def _writes(self) -> InputError:
        names = " or ".join(named(module) for module in (self.model, self.detector) if module is not None)
        return InputError(
            f"{names} writes on the images that it is given: set inplace=False in its first layers, or let it begin "
            "with images.clone()"
        )

    def _check(self, logits: Tensor, *scores: Tensor) -> None:
        is_tensor = isinstance(logits, Tensor)
        if not is_tensor or logits.ndim != _LOGITS or logits.shape[1] < self._classes:
            got = f"shape {tuple(logits.shape)}" if is_tensor else f"a {type(logits).__name__}"
            msg = (
                f"a model must give a tensor of logits (N, K) of {self._classes} classes or more, got {got} from "
                f"{named(self.model)}: wrap it in a module that does"
            )
            raise InputError(msg)
        if self._largest_label is not None and self._largest_label >= logits.shape[1]:
            msg = f"labels must be below the model's {logits.shape[1]} classes, got {self._largest_label}"
            raise InputError(msg)
        self._largest_label = None
        for values in scores:
            if not isinstance(values, Tensor) or values.dtype == torch.bool:
                got = str(values.dtype) if isinstance(values, Tensor) else f"a {type(values).__name__}"
                msg = (
                    f"a detector must give a tensor of real scores (N,), higher = more adversarial, got {got} from "
                    f"{named(self.detector)}: return its score before it decides, or decisions.float(), which "
                    "only attacks.Estimation and Square can attack"
                )
                raise InputError(msg)
            if values.shape != logits.shape[:1]:
                msg = (
                    f"a detector must give one score per image, shape ({len(logits)},), got {tuple(values.shape)} from "
                    f"{named(self.detector)}: return one number of each image, such as "
                    "scores[:, 1] of two logits or scores.squeeze(1)"
                )
                raise InputError(msg)


def asked(detector: nn.Module, images: Tensor) -> Any:
    """Return a detector's output for images; a detector that computes in numpy gets them without their graph."""
    try:
        return detector(images)
    except RuntimeError as error:
        if "numpy() on Tensor that requires grad" not in str(error):
            raise
        return detector(images.detach())


def _fitted(outputs: Tensor, images: Tensor) -> Tensor:
    """Return outputs (N, ...) in the images' type; outputs without a graph join the images', with gradients of 0."""
    outputs = outputs.to(images.dtype)
    if outputs.requires_grad or not (images.requires_grad and torch.is_grad_enabled()):
        return outputs
    return outputs + 0 * images.flatten(1).sum(1).view(-1, *[1] * (outputs.ndim - 1))


@contextmanager
def guarded(model: nn.Module, detector: nn.Module | None = None, classes: int = 1) -> Iterator[Guarded]:
    """Yield the guarded model and detector (see `Guarded`), and restore the layout of their weights afterwards."""
    layout = Layout(model, detector)
    try:
        safe = Guarded(model, layout, detector, classes)
        yield safe
        safe.conclude()
    finally:
        layout.undo()


def check_tensors(**values: object) -> None:
    """Refuse, with a ValueError, keyword arguments that are no tensors, such as numpy arrays and lists."""
    for name, value in values.items():
        if not isinstance(value, Tensor):
            is_array = isinstance(value, np.ndarray)
            kind, remedy = ("numpy array", "from_numpy") if is_array else (type(value).__name__, "tensor")
            msg = f"{name} must be a tensor, got a {kind}: use torch.{remedy}"
            raise InputError(msg)


def check_images(images: Tensor) -> None:
    """Refuse, with a ValueError, anything but a batch of images (N, C, H, W), float32 or float64, finite, in [0, 1]."""
    check_tensors(images=images)
    if images.ndim != _DIMENSIONS or images.dtype not in {torch.float32, torch.float64}:
        msg = (
            f"images must be a float32 (or float64) tensor (N, C, H, W), got {images.dtype} of shape "
            f"{tuple(images.shape)}{_BYTES if images.dtype == torch.uint8 else ''}"
        )
        raise InputError(msg)
    if images.numel() == 0:
        return
    low, high = ends(images)
    if not (low >= 0 and high <= 1):  # also true for NaN
        msg = (
            f"images must be finite and in [0, 1], got values from {low:g} to {high:g}; "
            "scale them, and make normalisation the model's first layer"
        )
        raise InputError(msg)


def ends(values: Tensor) -> tuple[float, float]:
    """Return the smallest and the largest of some values, at least one; the host waits for the device once."""
    low, high = torch.stack(values.detach().aminmax()).tolist()
    return low, high


def check_labels(labels: Tensor, images: Tensor) -> None:
    """Refuse, with a ValueError, anything but labels (N,), integers from 0 on, of images (N, C, H, W)."""
    check_tensors(labels=labels)
    if labels.shape != images.shape[:1] or labels.is_floating_point() or labels.dtype == torch.bool:
        msg = f"labels must be integers of shape ({len(images)},), got {labels.dtype} of shape {tuple(labels.shape)}"
        raise InputError(msg)
    if labels.numel() and labels.min() < 0:
        msg = f"labels must be classes from 0 on, got {labels.min().item()}"
        raise InputError(msg)


def check_region(region: Tensor, images: Tensor) -> Tensor:
    """Return a region, (N, 1, H, W) or (1, 1, H, W) of 0 and 1 or bool, as a mask (N, 1, H, W) bool of the images.

    Raises:
        ValueError: If the shape or a value is not accepted.
    """
    check_tensors(region=region)
    count, _, height, width = images.shape
    if region.ndim != _DIMENSIONS or region.shape[1:] != (1, height, width) or region.shape[0] not in {1, count}:
        msg = f"region must have shape ({count}, 1, {height}, {width}), got {tuple(region.shape)}"
        raise InputError(msg)
    if not torch.all((region == 0) | (region == 1)):
        msg = "region must hold only 0 and 1 (1 marks the pixels that may change)"
        raise InputError(msg)
    return region.bool().expand(count, 1, height, width)
