"""The interface of all attacks, with the one guarded entry."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from attacks import norms
from attacks.guard import check_images, check_labels, check_region, evaluation_mode, gradients, labels_below_classes


@dataclass(frozen=True)
class AttackResult:
    """What an attack returned, measured on the returned images.

    Attributes:
        images: (N, C, H, W) in [0, 1], the adversarial images.
        success: (N,) bool, recomputed: the prediction differs from the label (targeted: equals the target).
        l0: (N,) number of values changed.
        l2: (N,) Euclidean length of the change.
        rms: (N,) L2 over the square root of the number of values.
        linf: (N,) largest absolute change.
        forward_passes: Images sent through the model by the attack, per image of the batch.
        backward_passes: Gradients taken through the model by the attack, per image of the batch.
    """

    images: Tensor
    success: Tensor
    l0: Tensor
    l2: Tensor
    rms: Tensor
    linf: Tensor
    forward_passes: float
    backward_passes: float


@dataclass(frozen=True)
class Problem:
    """What one call of an attack is about, checked and copied by the guard.

    Attributes:
        model: Gives logits (N, K); in eval mode, gradients are recorded.
        images: (N, C, H, W) in [0, 1], N at least 1; not to be overwritten.
        labels: (N,), the labels to leave, or the targets.
        detector: Gives scores (N,), above 0 means rejected; None unless the attack `needs_detector`.
        region: (N, 1, H, W) bool, where pixels may change; None: everywhere.
        generator: The source of all randomness; None: the attack's own fixed seed.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor
    detector: nn.Module | None
    region: Tensor | None
    generator: Generator | None


class _Counted(nn.Module):
    """A model that counts the images that pass forward and backward."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.forwards = 0
        self.backwards = 0

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)
        self.forwards += len(images)
        if logits.requires_grad:
            logits.register_hook(self._count_backward)  # type: ignore[no-untyped-call]
        return logits

    def _count_backward(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


@dataclass(frozen=True, kw_only=True)
class Attack(ABC):
    """An immutable set of hyper-parameters; the model comes with the call.

    A subclass is a frozen dataclass with its own hyper-parameters and `perturb`; everything around it (checks, eval
    mode, gradients on, the caller's tensors and random state untouched) is done here, once.

    Args:
        targeted: Whether labels are targets to reach; otherwise they are labels to leave.
    """

    targeted: bool = False
    needs_detector: ClassVar[bool] = False

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        detector: nn.Module | None = None,
        region: Tensor | None = None,
        generator: Generator | None = None,
    ) -> Tensor:
        """Return adversarial images.

        Args:
            model: Gives logits (N, K) for images (N, C, H, W) in [0, 1].
            images: (N, C, H, W) in [0, 1], finite.
            labels: (N,) in [0, K): labels to leave, or targets if `targeted`. None: the model's own predictions.
            detector: Gives scores (N,), above 0 means rejected; only for attacks with `needs_detector`.
            region: (N, 1, H, W) of 0 and 1; only pixels at 1 change.
            generator: The source of all randomness of the attack.

        Returns:
            (N, C, H, W) in [0, 1], detached, of the images' dtype and device; outside the region equal to the bit.

        Raises:
            ValueError: If the images, labels or region do not fit, or a detector or target is missing.
            RuntimeError: If the attack's images leave [0, 1] or are not finite, or the model needs other images.
        """
        check_images(images)
        mask = None if region is None else check_region(region, images)
        if self.needs_detector and detector is None:
            msg = f"{type(self).__name__} attacks a detector as well: pass detector=..."
            raise ValueError(msg)
        if labels is None and self.targeted:
            msg = f"{type(self).__name__}(targeted=True) needs the targets as labels, got None"
            raise ValueError(msg)
        if len(images) == 0:
            return images.detach().clone()
        with evaluation_mode(model, detector), gradients(images.device):
            originals = images.detach().clone()  # cloned inside: a tensor of inference mode cannot be recorded
            chosen = self._labels(model, originals, labels)
            problem = Problem(model, originals, chosen, detector if self.needs_detector else None, mask, generator)
            with labels_below_classes(model, chosen):
                adversarial = self.perturb(problem).detach().clone()
            if mask is not None:
                adversarial = torch.where(mask, adversarial, originals)
            _check_result(self, adversarial, originals)
        return adversarial

    def report(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        detector: nn.Module | None = None,
        region: Tensor | None = None,
        generator: Generator | None = None,
    ) -> AttackResult:
        """Attack as `__call__` does, and measure the result per image; same arguments, same errors."""
        counted = _Counted(model)
        adversarial = self(counted, images, labels, detector=detector, region=region, generator=generator)
        forwards, backwards = counted.forwards, counted.backwards
        images = images.detach()
        with evaluation_mode(model), gradients(images.device), torch.no_grad():
            reference = model(images).argmax(1) if labels is None else labels.to(images.device)
            predicted = model(adversarial).argmax(1) if len(images) else reference
        perturbation = adversarial - images
        return AttackResult(
            images=adversarial,
            success=(predicted == reference) if self.targeted else (predicted != reference),
            l0=norms.l0(perturbation),
            l2=norms.l2(perturbation),
            rms=norms.rms(perturbation),
            linf=norms.linf(perturbation),
            forward_passes=forwards / max(len(images), 1),
            backward_passes=backwards / max(len(images), 1),
        )

    @abstractmethod
    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; called inside the guard, so that it can be written plainly.

        Args:
            problem: The model, images, labels and the rest of the call.

        Returns:
            (N, C, H, W) in [0, 1]. Each image's result must not depend on its neighbours in the batch; what changed
            outside the region is undone by the guard.
        """

    @staticmethod
    def _labels(model: nn.Module, images: Tensor, labels: Tensor | None) -> Tensor:
        if labels is None:
            with torch.no_grad():
                predictions: Tensor = model(images).argmax(1)
            return predictions
        check_labels(labels, images)
        return labels.detach().to(images.device, torch.long, copy=True)


def _check_result(attack: Attack, adversarial: Tensor, images: Tensor) -> None:
    if adversarial.shape != images.shape or adversarial.dtype != images.dtype:
        msg = (
            f"{type(attack).__name__}.perturb returned {adversarial.dtype} of shape {tuple(adversarial.shape)} "
            f"for images of {images.dtype} and shape {tuple(images.shape)}"
        )
        raise RuntimeError(msg)
    low, high = adversarial.aminmax()
    if not (low >= 0 and high <= 1):
        msg = f"{type(attack).__name__}.perturb returned values from {low.item():g} to {high.item():g}, not in [0, 1]"
        raise RuntimeError(msg)
