"""What is timed: the classifier alone, and with each detector, in one pass that gives class and score."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from experiments.detection.speed.records import ALONE
from experiments.study.contenders import Contender
from experiments.study.own_detector import ReadScores
from experiments.study.study import Study


@dataclass(frozen=True)
class System:
    """A classifier with or without a detector.

    Attributes:
        contender: The detector; None: the classifier alone.
        run: Gives class and score.
    """

    name: str
    contender: Contender | None
    run: "Pass"


class Pass(nn.Module):
    """A classifier and a detector that gives scores; where both ask the same classifier, its pass is shared.

    Takes images (N, C, H, W), gives logits (N, K) and, with a detector, scores (N,).
    """

    def __init__(self, classifier: nn.Module, detector: nn.Module | None = None) -> None:
        super().__init__()
        asked = detector.detector if isinstance(detector, ReadScores) else detector
        self.joint = hasattr(asked, "joint")
        self.classifier = cast("nn.Module", getattr(detector, "classifier", None)) if self.joint else classifier
        self.remembered = _Remembered(self.classifier)
        self.detector = detector if self.joint else deepcopy(detector)
        if self.detector is not None and not self.joint and getattr(asked, "classifier", None) is classifier:
            inner = self.detector.detector if isinstance(self.detector, ReadScores) else self.detector
            inner.classifier = self.remembered

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return logits and, with a detector, scores."""
        if self.detector is not None and self.joint:
            return cast("Callable[[Tensor], tuple[Tensor, ...]]", self.detector.joint)(images)
        logits = self.remembered(images)
        outputs = (logits,) if self.detector is None else (logits, self.detector(images))
        self.remembered.last = None
        return outputs


class _Remembered(nn.Module):
    """A model that is not asked twice about the same tensor."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.last: tuple[Tensor, Tensor] | None = None

    def forward(self, images: Tensor) -> Tensor:
        if self.last is None or self.last[0] is not images:
            self.last = images, self.model(images)
        return self.last[1]


def systems_of(study: Study) -> list[System]:
    """Return the classifier alone, and with the first contender of each name."""
    first = {contender.name: contender for contender in reversed(study.contenders)}
    names = dict.fromkeys(contender.name for contender in study.contenders)
    detectors = [System(name, first[name], Pass(study.classifier, first[name].module).eval()) for name in names]
    return [System(ALONE, None, Pass(study.classifier).eval()), *detectors]
