"""Names of maps, samples and measures, as rows, tables and charts have them."""

from collections.abc import Mapping
from typing import Final, Literal

ENHANCED: Final = "enhanced_guided_backprop"
PLAIN: Final = "guided_backprop"
GRADIENT: Final = "gradient"
RANDOM: Final = "random"
LABEL_LEAK: Final = f"{ENHANCED}, rival the true class"
PERTURBATION: Final = "the perturbation itself"
"""Names of maps; the last two are oracles."""

Fill = Literal["mean", "noise", "blur"]

FILLS: Final[Mapping[Fill, str]] = {"mean": "the image's mean colour", "noise": "noise", "blur": "the image's blur"}
"""What pixels are replaced by, in words."""

OTHER_FILL: Final[Mapping[Fill, Fill]] = {"mean": "blur", "noise": "mean", "blur": "mean"}
"""What replaces them in the check of robustness."""

SAME: Final = "two classes, same image"
OTHER: Final = "same class, two images"
NATURAL: Final = "predicted and runner-up, test image"
"""Samples of pairs of maps."""

RATIO: Final = "Sim-Ratio, s > 0"
RATIO_NONZERO: Final = "Sim-Ratio, s != 0"
DIFFERENCE: Final = "Avg-Diff"
"""Measures of a pair of maps."""
