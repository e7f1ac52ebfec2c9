"""A detector at a threshold, as attacks need it: a score above 0 means rejected."""

from math import inf
from typing import Any

from torch import Tensor, nn

from attacks.errors import InputError
from detectors.calibration import threshold as at_rate


class Thresholded(nn.Module):
    """A detector with its threshold subtracted; forwards joint, surrogates and representation_step.

    Args:
        detector: Returns scores (N,), higher = more adversarial.
        threshold: The score above which it rejects.
        spread: Standard deviation of its scores of clean images, above 0: the unit in which attacks measure scores.
    """

    def __init__(self, detector: nn.Module, threshold: float = 0.0, spread: float = 1.0) -> None:
        super().__init__()
        self.detector = detector
        self.threshold = threshold
        self.spread = spread

    @classmethod
    def at_rate(cls, detector: nn.Module, calibration: Tensor, false_positive_rate: float) -> "Thresholded":
        """Return the detector at the threshold that rejects a share of clean images.

        Args:
            detector: Returns scores (N,).
            calibration: (n,), its sorted scores of clean images.
            false_positive_rate: The share, in (0, 1).

        Raises:
            ValueError: If the images are too few for that rate.
        """
        threshold = at_rate(calibration, false_positive_rate)
        if threshold is None:
            msg = (
                f"{len(calibration)} calibration images are too few for a threshold at a false-positive rate of "
                f"{false_positive_rate:g}: at least {round(1 / false_positive_rate) - 1} are needed"
            )
            raise InputError(msg)
        spread = calibration.double().std().item()
        return cls(detector, threshold, spread if 0 < spread < inf else 1.0)

    @property
    def wrapped(self) -> nn.Module:
        """The detector; messages name its class."""
        return self.detector

    @property
    def classifier(self) -> nn.Module | None:
        """The classifier that the detector looks through, if it names one."""
        return getattr(self.detector, "classifier", None)

    def forward(self, images: Tensor) -> Tensor:
        """Return scores (N,), above 0 = rejected, of images (N, C, H, W) in [0, 1]."""
        scores: Tensor = self.detector(images)
        return scores - self.threshold

    def joint(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the classifier's logits (N, K) and the scores (N,)."""
        if not hasattr(self.detector, "joint"):
            return self._classified(images), self(images)
        logits, scores = self.detector.joint(images)  # type: ignore[operator]
        return logits, scores - self.threshold

    def surrogates(self, images: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return logits, scores, and scores (N,) of the detector's parts by name."""
        if not hasattr(self.detector, "surrogates"):
            return (*self.joint(images), {})
        logits, scores, parts = self.detector.surrogates(images)  # type: ignore[operator]
        return logits, scores - self.threshold, parts

    def representation_step(self, images: Tensor, step_size: float) -> Tensor:
        """Return the detector's step; see `Detector.representation_step`."""
        change: Tensor = self.detector.representation_step(images, step_size)  # type: ignore[operator]
        return change

    def _classified(self, images: Tensor) -> Any:
        if self.classifier is None:
            msg = f"{type(self.detector).__name__} names no classifier: ask it for scores only"
            raise AttributeError(msg)
        return self.classifier(images)
