"""The output of a user's own detector, read as scores, with a gradient or without."""

from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from attacks.errors import InputError, InputTypeError
from detectors import Thresholded
from experiments.results.levels import WORKING_RATE
from experiments.study.user_modules import takes


class ReadScores(Thresholded):
    """A detector whose answers are read as scores: booleans as 0 and 1, arrays as tensors, NaN as rejected.

    Args:
        detector: Returns scores (N,), booleans (N,), or an array of these.
        odd: Why no gradient leads from its answers to the images; empty: one does.

    Attributes:
        rejected: The score that stands for one that is NaN or infinite.
    """

    def __init__(self, detector: nn.Module, odd: str = "") -> None:
        super().__init__(detector)
        self.odd = odd
        self.rejected = torch.finfo(torch.float32).max

    @property
    def differentiable(self) -> bool:
        """Whether a gradient leads from its scores to the images."""
        return not self.odd

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (N,) of images (N, C, H, W) in [0, 1]."""
        taken = images if self.differentiable or not images.requires_grad else images.detach()
        return self._read(self.detector(taken), images)

    def joint(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the classifier's logits (N, K) and the scores (N,)."""
        if not self.differentiable:
            return self._classified(images), self(images)
        logits, scores = super().joint(images)
        return logits, self._read(scores, images)

    def surrogates(self, images: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return logits, scores, and scores (N,) of the detector's parts by name."""
        if not self.differentiable:
            return (*self.joint(images), {})
        logits, scores, parts = super().surrogates(images)
        return logits, self._read(scores, images), parts

    def calibrate(self, calibration: Tensor) -> str:
        """Put `rejected` just above all finite scores (n,) of clean images, here too; return warnings.

        Raises:
            ValueError: If more of them are not finite than may be rejected.
        """
        name, broken = type(self.detector).__name__, calibration == self.rejected
        count, finite = int(broken.sum()), calibration[~broken]
        if count > WORKING_RATE * len(calibration):
            msg = (
                f"{name} gives NaN or an infinite score for {count} of {len(calibration)} clean images. These count as "
                f"rejected, which is more than {WORKING_RATE:.0%} false positives, so there is no threshold: let it "
                "give a finite score for every image"
            )
            raise InputError(msg)
        self.rejected = finite.amax().item() + max(1.0, (finite.amax() - finite.amin()).item())
        calibration[broken] = self.rejected
        remarks = [f"{name} {self.odd}: {_CANNOT}"] if self.odd else []
        if count:
            remarks.append(
                f"{name} gives NaN or an infinite score for {count} of {len(calibration)} clean images: {_NAN}"
            )
        return " ".join(remarks)

    def _read(self, answer: Any, images: Tensor) -> Tensor:
        scores = torch.as_tensor(answer).to(images)
        return torch.where(scores.isfinite(), scores, torch.full_like(scores, self.rejected))


_CANNOT: Final = "attacks along its gradient are left out; those run that need none, or estimate it."
_NAN: Final = "these count as rejected."


def read_scores(path: str, module: nn.Module, images: Tensor) -> ReadScores:
    """Return a detector of the user's own that gives finite scores, asked with a gradient where that is possible.

    Args:
        path: Named in sentences.
        module: The detector, in eval mode, on the device of the images.
        images: (n, C, H, W) in [0, 1], some clean images, at least one.

    Raises:
        TypeError: If its answer is no tensor and no array.
        ValueError: If it does not take the images, or does not give one score for each.
    """
    seen = images.clone().requires_grad_()
    try:
        with torch.enable_grad():
            answer, refuses = module(seen), False
    except Exception:
        answer, refuses = takes(path, lambda: module(images)), True
    kind = _kind(path, answer)
    scores = torch.as_tensor(answer)
    if scores.shape != images.shape[:1]:
        msg = (
            f"{path} must give one score per image, shape ({len(images)},); it gave shape {tuple(scores.shape)}: "
            "return one number of each image, such as scores[:, 1] of two logits or scores.squeeze(1)"
        )
        raise InputError(msg)
    if _leads(scores, seen):
        return ReadScores(module)
    odd = "takes no images that ask for a gradient (numpy inside?)" if refuses else f"gives {kind} without a gradient"
    return ReadScores(module, odd)


def _kind(path: str, answer: object) -> str:
    """Return the kind of an answer, in words; refuse one without scores."""
    if isinstance(answer, np.ndarray) and answer.dtype.kind in "bfiu":
        return "a numpy array"
    if not isinstance(answer, Tensor) or answer.is_complex() or answer.is_meta:
        got = f"a {type(answer).__name__}"
        if isinstance(answer, Tensor):
            got = "scores without values (device meta)" if answer.is_meta else "complex numbers"
        msg = f"{path} gives {got}: it must give a tensor of real scores, one for each image"
        raise InputTypeError(msg)
    return "booleans, read as scores 0 and 1," if answer.dtype == torch.bool else "scores"


def _leads(scores: Tensor, seen: Tensor) -> bool:
    """Return whether a gradient leads from scores to the images."""
    if not scores.requires_grad:
        return False
    (gradient,) = torch.autograd.grad(scores.sum(), seen, allow_unused=True)
    return gradient is not None
