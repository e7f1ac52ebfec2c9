"""The paper's numbers (Liu, Liu, Hosseini; DETAILS section 3), by method and measure."""

import math
from collections.abc import Mapping
from typing import Final

from experiments.explanation.similarity.changes import Change

GRAD_CAM, GUIDED, SMOOTH = "Grad-CAM", "guided backprop", "SmoothGrad"

EPSILONS: Final = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Epsilons of the paper's curves: half of those printed, which are on images in [-1, 1]."""

TARGETED: Final = 0.2
"""Epsilon of its Table 1, halved too."""

TABLE: Final[Mapping[tuple[str, str], float]] = {
    (GRAD_CAM, "spearman"): 0.080,
    (GUIDED, "spearman"): 0.602,
    (SMOOTH, "spearman"): 0.288,
    (GRAD_CAM, "ssim"): 0.689,
    (GUIDED, "ssim"): 0.895,
    (SMOOTH, "ssim"): 0.9996,
    (GRAD_CAM, "hog"): 0.298,
    (GUIDED, "hog"): 0.668,
    (SMOOTH, "hog"): 0.495,
}
"""Table 1: means over all targets."""

CURVES: Final[Mapping[tuple[str, str], tuple[float, ...]]] = {
    (GRAD_CAM, "spearman"): (0.237, 0.087, 0.077, 0.071, 0.074),
    (GUIDED, "spearman"): (0.716, 0.635, 0.605, 0.589, 0.576),
    (SMOOTH, "spearman"): (0.433, 0.325, 0.276, 0.243, 0.227),
    (GRAD_CAM, "ssim"): (0.714, 0.691, 0.689, 0.694, 0.687),
    (GUIDED, "ssim"): (0.921, 0.899, 0.893, 0.889, 0.888),
    (SMOOTH, "ssim"): (1.0, 1.0, 1.0, 1.0, 1.0),
    (GRAD_CAM, "hog"): (0.329, 0.300, 0.297, 0.295, 0.295),
    (GUIDED, "hog"): (0.816, 0.716, 0.679, 0.653, 0.632),
    (SMOOTH, "hog"): (0.605, 0.518, 0.476, 0.455, 0.439),
}
"""Figure 2, digitised, +-.003."""

DEFECTS: Final = (
    "Theirs: AlexNet fine-tuned on CIFAR-10 at 224 pixels (configs/cifar10_alexnet.yaml), and code with defects that "
    "are not copied here and may explain differences: gradients are never set to zero between images, guided "
    "backpropagation's hooks stay on the network, maps are compared with their three raw channels, SmoothGrad is the "
    "mean square of 3 samples on 100 images (whose SSIM, on a range of 2, is always 1), and Grad-CAM's sum "
    "over channels starts at ones."
)


def reported(paper: str, metric: str, change: Change) -> float | None:
    """Return the paper's value after a change: a point of a curve, or the mean over all targets of Table 1.

    Args:
        paper: The paper's name of a method.
        metric: Name of a measure.
        change: An attack; its epsilon is for images in [0, 1].
    """
    if change.epsilon is None or change.kind not in {"untargeted", "targeted"} or change.target is not None:
        return None
    if change.kind == "targeted":
        return TABLE.get((paper, metric)) if math.isclose(change.epsilon, TARGETED) else None
    curve = zip(EPSILONS, CURVES.get((paper, metric), ()), strict=False)
    return next((value for epsilon, value in curve if math.isclose(epsilon, change.epsilon)), None)
