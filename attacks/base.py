"""The interface of all attacks, with the one guarded entry."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import isnan
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Generator, Tensor, nn

from attacks import norms
from attacks.errors import InputError, InputTypeError, OutputError
from attacks.guard import (
    check_images,
    check_labels,
    check_region,
    check_tensors,
    ends,
    evaluation_mode,
    gradients,
    guarded,
)
from attacks.margin import reached
from attacks.problem import Counted, Passes, Problem, predictions, seed_of


@dataclass(frozen=True)
class AttackResult:
    """What an attack returned, measured on the returned images.

    Attributes:
        images: (N, C, H, W) in [0, 1], the adversarial images.
        success: (N,) bool, recomputed: the prediction differs from the label (targeted: equals the target); False where
            a logit is NaN.
        l0: (N,) number of values changed.
        l2: (N,) Euclidean length of the change.
        rms: (N,) L2 over the square root of the number of values.
        linf: (N,) largest absolute change.
        forward_passes: (N,) how often the attack sent the image through the model. A pass through model and detector
            together counts once.
        backward_passes: (N,) how many gradients through the model it took for the image.
        scores: (N,) the detector's scores, recomputed; above 0 means rejected. None for an attack on the classifier
            alone.
    """

    images: Tensor
    success: Tensor
    l0: Tensor
    l2: Tensor
    rms: Tensor
    linf: Tensor
    forward_passes: Tensor
    backward_passes: Tensor
    scores: Tensor | None = None


NormFamily = Literal["l0", "l1", "l2", "linf"]


class MostPasses(NamedTuple):
    """The largest number of forward and backward passes that an attack makes for an image."""

    forward: int
    backward: int


@dataclass(frozen=True, kw_only=True)
class Attack(ABC):
    """An immutable set of hyper-parameters; the model comes with the call.

    A subclass is a frozen dataclass with its own hyper-parameters and `perturb`; everything around it (checks, eval
    mode, gradients on, the caller's tensors and random state untouched) is done here, once.

    Args:
        targeted: Whether labels are targets to reach; otherwise they are labels to leave.

    Raises:
        TypeError: If a hyper-parameter is not of its type.
        ValueError: If a hyper-parameter is out of its range.

    Attributes:
        needs_detector: Whether the attack is on a detector as well.
        norm_family: The norm of the perturbation that the attack bounds or minimises; None if there is none, or more
            than one. An attack with an argument for the norm sets it on the instance.
    """

    targeted: bool = False
    needs_detector: ClassVar[bool] = False
    norm_family: ClassVar[NormFamily | None] = None

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
            generator: One number is drawn from it. This number and an image's own values seed all random choices for
                that image. None: a fixed seed.

        Returns:
            (N, C, H, W) in [0, 1], detached, of the images' dtype and device; outside the region equal to the bit.

        Raises:
            ValueError: If the images, labels or region do not fit, a detector or target is missing, or the model gives
                anything but logits of two classes or more, writes on its images, gives NaN for all of them, or passes
                no gradient though the attack needs one.
            TypeError: If `targeted` is no truth value.
            OutputError: If the attack's images are no tensor like the images, leave [0, 1] or are not finite, or the
                model needs other images.

        Warns:
            UserWarning: If the network's outputs could be mistaken for robustness; see `attacks.outputs.FirstOutputs`.
        """
        return self._attack(model, images, labels, detector, region, generator, passes=None)

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
        check_tensors(images=images)
        with torch.inference_mode(mode=False):
            passes = Passes(images)
        adversarial = self._attack(model, images, labels, detector, region, generator, passes)
        images = images.detach()
        asked = detector if self.needs_detector else None
        with evaluation_mode(model, asked), gradients(images.device):
            reference = predictions(Problem(model, images)) if labels is None else labels.to(images.device)
            success = _reached(Problem(model, adversarial, reference), targeted=self.targeted)
            scores = None if asked is None else _scores(asked, Problem(model, adversarial))
        perturbation = adversarial - images
        return AttackResult(
            images=adversarial,
            success=success,
            l0=norms.l0(perturbation),
            l2=norms.l2(perturbation),
            rms=norms.rms(perturbation),
            linf=norms.linf(perturbation),
            forward_passes=passes.forward,
            backward_passes=passes.backward,
            scores=scores,
        )

    @abstractmethod
    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images (N, C, H, W) in [0, 1]; called inside the guard, which checks and restores.

        An image's result must not depend on its neighbours in the batch. The guard undoes changes outside the region.
        """

    def most_passes(self, classes: int) -> MostPasses | None:  # noqa: ARG002 - subclasses need it
        """Return the most passes for an image, for a model with this many classes (at least 2); None if unknown."""
        return None

    def _attack(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor | None,
        detector: nn.Module | None,
        region: Tensor | None,
        generator: Generator | None,
        passes: Passes | None,
    ) -> Tensor:
        """The one entry: everything around `perturb`; with `passes`, counted."""
        check_images(images)
        mask = None if region is None else check_region(region, images)
        if self.needs_detector and detector is None:
            msg = f"{type(self).__name__} attacks a detector as well: pass detector=..."
            raise InputError(msg)
        if not isinstance(self.targeted, bool):
            msg = f"targeted must be True or False, got {self.targeted!r}"
            raise InputTypeError(msg)
        if labels is None and self.targeted:
            msg = f"{type(self).__name__}(targeted=True) needs the targets as labels, got None"
            raise InputError(msg)
        if labels is not None:
            check_labels(labels, images)
        if len(images) == 0:
            return images.detach().clone()
        with (
            evaluation_mode(model, detector),
            gradients(images.device),
            guarded(model, detector if self.needs_detector else None, classes=2) as safe,
        ):
            # cloned inside: a tensor of inference mode cannot be recorded; in one layout, whatever the caller's
            originals = images.detach().clone(memory_format=torch.contiguous_format)
            counted = safe if passes is None else Counted(safe, passes)
            if labels is None:
                chosen = predictions(Problem(counted, originals))
            else:
                chosen = labels.detach().to(images.device, torch.long, copy=True)
                safe.expect(chosen)
            perturbed = self.perturb(Problem(counted, originals, chosen, safe.detector, mask, seed_of(generator)))
            safe.settle(originals[:1])
            _check_tensor(self, perturbed, originals)
            adversarial = perturbed.detach().clone()
            if mask is not None:
                adversarial = torch.where(mask, adversarial, originals)
            _check_values(self, adversarial)
        return adversarial


@torch.no_grad()
def _reached(problem: Problem, *, targeted: bool) -> Tensor:
    none = torch.zeros(0, dtype=torch.bool, device=problem.images.device)
    parts = (reached(part.model(part.images), part.labels, targeted=targeted) for part in problem.chunks())
    return torch.cat([none, *parts])


@torch.no_grad()
def _scores(detector: nn.Module, problem: Problem) -> Tensor:
    return torch.cat([problem.images.new_zeros(0), *(detector(part.images) for part in problem.chunks())])


def _check_tensor(attack: Attack, perturbed: object, images: Tensor) -> None:
    if not isinstance(perturbed, Tensor):
        got = "None" if perturbed is None else f"a {type(perturbed).__name__}"
    elif perturbed.shape != images.shape or perturbed.dtype != images.dtype:
        got = f"{perturbed.dtype} of shape {tuple(perturbed.shape)}"
    else:
        return
    msg = (
        f"{type(attack).__name__}.perturb returned {got}: it must return a tensor of {images.dtype} and of the images' "
        f"shape {tuple(images.shape)}, with values in [0, 1]"
    )
    raise OutputError(msg)


def _check_values(attack: Attack, adversarial: Tensor) -> None:
    low, high = ends(adversarial)
    if not (low >= 0 and high <= 1):
        name = type(attack).__name__
        advice = "look for a division by 0 or for logits that are not finite" if isnan(low) else "clamp them to [0, 1]"
        msg = f"{name}.perturb returned values from {low:g} to {high:g}, not in [0, 1]: {advice}"
        raise OutputError(msg)
