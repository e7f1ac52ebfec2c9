"""What is timed: the classifier alone, and with each detector, in one pass that gives class and score."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from experiments.detection.speed.records import ALONE
from experiments.study.contenders import Contender
from experiments.study.study import Study


@dataclass(frozen=True)
class System:
    """A classifier with or without a detector.

    Attributes:
        name: Of the row.
        contender: The detector; None: the classifier alone.
        run: Takes images (N, C, H, W), gives logits (N, K) and, with a detector, scores (N,).
    """

    name: str
    contender: Contender | None
    run: "_AloneSystem | _JointSystem | _BesideSystem"


class _AloneSystem(nn.Module):
    """The classifier."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return (self.classifier(images),)


class _JointSystem(nn.Module):
    """A detector that gives class and score at once."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    @property
    def classifier(self) -> nn.Module:
        """The attacked classifier."""
        return cast("nn.Module", self.detector.classifier)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        joint = cast("Callable[[Tensor], tuple[Tensor, ...]]", self.detector.joint)
        return joint(images)


class _BesideSystem(nn.Module):
    """A classifier and a detector that gives scores alone; where it asks the same classifier, the pass is shared."""

    def __init__(self, classifier: nn.Module, detector: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier
        self.remembered = _Remembered(classifier)
        self.detector = deepcopy(detector)
        if getattr(detector, "classifier", None) is classifier:
            self.detector.classifier = self.remembered

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        outputs = self.remembered(images), self.detector(images)
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
    first: dict[str, Contender] = {}
    for contender in study.contenders:
        first.setdefault(contender.name, contender)
    systems = [System(ALONE, None, _AloneSystem(study.classifier))]
    for name, contender in first.items():
        module = contender.module
        run = _JointSystem(module) if hasattr(module, "joint") else _BesideSystem(study.classifier, module)
        systems.append(System(name, contender, run))
    for system in systems:
        system.run.eval()
    return systems
