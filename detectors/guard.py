"""Verdicts of a detector on images and image files."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import torch
from torch import Tensor

from attacks.errors import InputError, InputTypeError
from attacks.guard import check_images, evaluation_mode
from detectors.thresholded import Thresholded

ImageFile = str | os.PathLike[str] | BinaryIO
ImageFiles = ImageFile | Sequence[ImageFile]

_AT_ONCE: Final = 64
"""Images of a batch."""


@dataclass(frozen=True)
class Verdict:
    """The verdict of a detector and its classifier on N images; all tensors are on the CPU.

    Attributes:
        score: (N,), higher = more adversarial.
        probability: (N,), of being adversarial where half of the images are, as in training: the score's sigmoid.
        is_adversarial: (N,) bool, whether the score exceeds the threshold.
        predicted: (N,) int64, the class that the classifier predicts.
        confidence: (N,), the softmax of that class.
        threshold: The score from which on an image counts as adversarial.
    """

    score: Tensor
    probability: Tensor
    is_adversarial: Tensor
    predicted: Tensor
    confidence: Tensor
    threshold: float

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.score)


@torch.no_grad()
def judge(detector: Any, images: Tensor | ImageFiles, false_positive_rate: float = 0.05) -> Verdict:
    """Return verdicts on images, or on image files of any format and size.

    Files are decoded as for training: the short side is scaled to fit, the rest is cut off (`data.decode`).

    Args:
        detector: A calibrated `Detector`.
        images: (N, C, H, W) float32 or float64 in [0, 1] on any device; or a path, an open binary file, or a list
            of these.
        false_positive_rate: The share of clean images that may be flagged, in (0, 1).

    Raises:
        UndecodableError: If a file is no image; names it. It is a ValueError.
        ValueError: If images are of another shape or range, or the calibration images are too few for that rate.
        OSError: If a file cannot be read.
    """
    threshold = Thresholded.at_rate(detector, detector.calibration, false_positive_rate).threshold
    given = images if isinstance(images, Tensor) else read_images(images, detector.shape)
    check_shape(detector, given)
    with evaluation_mode(detector):  # a network may write on its images: it gets copies
        copies = (batch.to(detector.device, detector.dtype, copy=True) for batch in torch.split(given, _AT_ONCE))
        parts = [detector.joint(copy) for copy in copies]
    logits, score = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
    confidence, predicted = logits.softmax(1).max(1)
    return Verdict(score, score.sigmoid(), score > threshold, predicted, confidence, threshold)


def read_images(files: ImageFiles, shape: Sequence[int]) -> Tensor:
    """Return image files as images (N, C, H, W) in [0, 1] of one shape (C, H, W); see `judge` for the errors."""
    from data.decoding.decode import LazyPixels  # noqa: PLC0415 - an exception of the layers: pyproject.toml says why

    listed = files if isinstance(files, Sequence) and not isinstance(files, str) else [files]
    for file in listed:
        if not (isinstance(file, str | os.PathLike) or hasattr(file, "read")):
            msg = (
                f"images must be a tensor (N, C, H, W) or image files, got a {type(file).__name__}: torch.from_numpy "
                "makes a tensor of an array"
            )
            raise InputTypeError(msg)
    paths = [os.fspath(file) if isinstance(file, os.PathLike) else file for file in listed]
    channels, height, width = shape
    if not paths:
        return torch.empty(0, channels, height, width)
    return LazyPixels(paths, (channels, height, width))[torch.arange(len(paths))].float().div_(255)


def check_shape(detector: Any, images: Tensor) -> None:
    """Raise ValueError unless these are images (N, C, H, W) in [0, 1] of the detector's shape."""
    check_images(images)
    if images.shape[1:] != torch.Size(detector.shape):
        needed = ", ".join(map(str, detector.shape))
        msg = f"{type(detector).__name__} needs images (N, {needed}), got {tuple(images.shape)}"
        raise InputError(msg)
