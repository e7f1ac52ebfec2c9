"""The interface of all saliency methods, with the one guarded entry."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from attacks.checks import one_of
from attacks.errors import OutputError
from attacks.guard import check_images, check_labels, evaluation_mode, gradients, guarded
from attacks.problem import Problem, predictions, seed_of
from saliency.maps.reduction import REDUCTIONS, Reduction, reduce


@dataclass(frozen=True, kw_only=True)
class SaliencyMethod(ABC):
    """An immutable set of hyper-parameters; the model comes with the call.

    A subclass is a frozen dataclass with its own hyper-parameters and `attribute`; everything around it (checks, eval
    mode, gradients on, small batches, the caller's tensors, hooks and random state untouched) is done here, once.

    Args:
        reduction: How several channels become one: max or l1 (of absolute values), positive (negative values dropped,
            then l1), mean (with its sign, as grey images are made).

    Attributes:
        of_class: Whether a map depends on the targets.

    Raises:
        ValueError: If a number is out of its range, or a word is not one of the options.
    """

    reduction: Reduction = "l1"
    of_class: ClassVar[bool] = True

    def __post_init__(self) -> None:
        one_of(REDUCTIONS, reduction=self.reduction)

    def __call__(
        self, model: nn.Module, images: Tensor, targets: Tensor | None = None, *, generator: Generator | None = None
    ) -> Tensor:
        """Return maps of one channel, (N, 1, H, W), not normalised; same arguments and errors as `attributions`."""
        return reduce(self.attributions(model, images, targets, generator=generator), self.reduction)

    def attributions(
        self, model: nn.Module, images: Tensor, targets: Tensor | None = None, *, generator: Generator | None = None
    ) -> Tensor:
        """Return what each value of each image adds to the logit of a class, as this method estimates it.

        Args:
            model: Gives logits (N, K) for images (N, C, H, W) in [0, 1]; of any mode, left as it was.
            images: (N, C, H, W) in [0, 1], finite.
            targets: (N,) in [0, K), the classes to explain; None: those that the model predicts.
            generator: One number is drawn from it, which with an image's own values seeds all that is random about
                that image; None: a fixed seed.

        Returns:
            (N, C, H, W) or, where a method knows no channels, (N, 1, H, W); with sign, not normalised, detached, of the
            images' dtype and device. An image's map does not depend on its neighbours in the batch.

        Raises:
            ValueError: If images or targets do not fit, the method is not defined for this model, or the model writes
                on its images, gives NaN for all of them, or passes no gradient though the method needs one.
            OutputError: If the result is not finite.

        Warns:
            UserWarning: If the model gives probabilities, some NaN, or gradients that are all 0.
        """
        check_images(images)
        if targets is not None:
            check_labels(targets, images)
        if len(images) == 0:
            return images.detach().clone()
        with evaluation_mode(model), gradients(images.device), guarded(model) as safe, _quiet():
            originals = images.detach().clone(memory_format=torch.contiguous_format)
            if targets is None:
                chosen = predictions(Problem(safe, originals))
            else:
                chosen = targets.detach().to(images.device, torch.long)
                safe.expect(chosen)
                safe.settle(originals[:2])  # a pass may be repeated in another layout, so before a method sets hooks
            whole = Problem(safe, originals, chosen, seed=seed_of(generator))
            maps = torch.cat([self.attribute(part).detach().to(images.dtype) for part in whole.chunks()])
        if not maps.isfinite().all():
            msg = f"{type(self).__name__} gives maps that are not finite: check the model's logits and weights"
            raise OutputError(msg)
        return maps

    @abstractmethod
    def attribute(self, problem: Problem) -> Tensor:
        """Return attributions (N, C, H, W) or (N, 1, H, W); called inside the guard, so that it can be written plainly.

        The problem has the model, the images, which may be overwritten, and as `labels` the classes to explain.
        """


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide Captum's warnings about what it does itself: hooks that it sets, gradients that it switches on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"captum\.")
        yield
