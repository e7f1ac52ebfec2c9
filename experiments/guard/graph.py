"""Classifier, detector and threshold as one graph of torch."""

from typing import Final

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from attacks.errors import InputError
from detectors import Detector

OUTPUTS: Final = ("score", "probability", "is_adversarial", "logits")
"""The graph's outputs, in their order."""


class Graph(nn.Module):
    """A detector at a threshold: the outputs of `Detector.judge`, from one pass.

    Args:
        detector: The detector.
        threshold: The score above which an image counts as adversarial.
    """

    def __init__(self, detector: Detector, threshold: float) -> None:
        super().__init__()
        self.detector = detector
        self.threshold = threshold

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return score, probability and is_adversarial (N,), and logits (N, K), of images (N, C, H, W) in [0, 1]."""
        logits, score = self.detector.joint(images)
        return score, score.sigmoid(), score > self.threshold, logits


def exported(graph: Graph) -> ExportedProgram:
    """Return the graph for any number of images.

    Raises:
        ValueError: If torch cannot trace the detector, as one whose representation is a gradient.
    """
    graph.eval().requires_grad_(requires_grad=False)
    example = torch.rand(2, *graph.detector.shape, generator=torch.Generator().manual_seed(0))
    try:
        return export(graph, (example,), dynamic_shapes={"images": {0: Dim("batch")}}, strict=False)
    except Exception as error:  # what torch cannot trace fails in arbitrary ways
        raise unexportable(graph, "torch.export", error) from error


def unexportable(graph: Graph, exporter: str, error: Exception) -> InputError:
    """Return the message of a detector that cannot be exported."""
    name, reason = type(graph.detector).__name__, f"{type(error).__name__}: {error}".splitlines()[0].partition(". ")[0]
    msg = (
        f"{name} cannot be exported: {exporter} cannot trace it ({reason}), nor any detector that sees a "
        "gradient; export another detector, or use this one in Python (detectors.load)"
    )
    return InputError(msg)


def largest_differences(graph: Graph, other: object) -> dict[str, float]:
    """Return by how much another form of the graph differs from it on noise, in batches of 1, 3 and 7 images.

    Scores are compared in units of their size where that is above 1: float32 keeps seven digits of a number.

    Args:
        graph: The graph in torch.
        other: Takes images (N, C, H, W) and returns the outputs in their order, as tensors.
    """
    generator = torch.Generator().manual_seed(1)
    worst = {name: 0.0 for name in OUTPUTS if name != "is_adversarial"}  # rounding may decide at the threshold
    for count in (1, 3, 7):
        images = torch.rand(count, *graph.detector.shape, generator=generator)
        with torch.no_grad():
            pairs = zip(OUTPUTS, graph(images), other(images), strict=True)  # type: ignore[operator]
        for name, ours, theirs in pairs:
            gap = (ours.double() - theirs.double()).abs() / ours.double().abs().clamp(min=1)
            if name in worst:
                worst[name] = max(worst[name], gap.max().item())
    return worst
