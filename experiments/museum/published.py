"""The published detectors and their published breaks: the one table of them.

A figure stands here only if it could be looked up; `checked` says where. Otherwise `success` is None.
"""

from dataclasses import dataclass
from typing import Final, Literal

Way = Literal["shortest", "hinged", "parts", "straight_through", "matching", "confident"]

WAYS: Final[dict[Way, str]] = {
    "shortest": "JointDDN: the shortest change in L2 that passes classifier and detector; an image counts as won up to "
    "a multiple of its length against the classifier alone",
    "hinged": "HingedPGD: one loss of classifier and score, within the L-inf budget",
    "parts": "HingedPGD, also against the differentiable parts that the detector names, within the L-inf budget",
    "straight_through": "HingedPGD through rounding as the identity (BPDA), within the L-inf budget",
    "matching": "Matching: the logits of a clean image of another class, within the L-inf budget",
    "confident": "BIM with many steps against the classifier alone, within the L-inf budget",
}
"""Our equivalents of the published attacks."""


@dataclass(frozen=True)
class Break:
    """A published detector, and an attack that broke it, if one is published.

    Attributes:
        paper: Authors who broke it; empty: no break is published.
        where: arXiv number, and section or table.
        attack: The paper's attack, in words.
        way: Our attack that stands for it; None: nothing is published.
        data: Data set of the published figure.
        success: Share of the images that the attack wins: misclassified and accepted; None: not checked.
        checked: Source where the figure was looked up.
    """

    detector: str
    paper: str = ""
    where: str = ""
    attack: str = ""
    way: Way | None = None
    data: str = ""
    success: float | None = None
    checked: str = ""


_TEN: Final = "Carlini & Wagner (2017)"
_SUMMARY: Final = "two readers' public summaries of the paper"
_NOTEBOOK: Final = "the authors' notebook"

BREAKS: Final = (
    Break(
        "detectors.published.ExtraClass",
        _TEN,
        "arXiv 1705.07263, section 3.1",
        "the L2 attack on the network of K + 1 classes",
        "shortest",
        "MNIST",
        1.0,
        _SUMMARY,
    ),
    Break(
        "detectors.ID",
        _TEN,
        "arXiv 1705.07263, section 3.1, on Gong et al.",
        "the L2 attack on one network that joins classifier and detector",
        "shortest",
        "MNIST",
        1.0,
        _SUMMARY,
    ),
    Break(
        "detectors.published.FeatureHead",
        _TEN,
        "arXiv 1705.07263, section 3.2, on Metzen et al.",
        "the L2 attack on classifier and detector together",
        "shortest",
        "CIFAR-10",
    ),
    Break(
        "detectors.published.PrincipalComponents",
        _TEN,
        "arXiv 1705.07263, section 4.1",
        "the L2 attack, without the border pixels that the detector looks at",
        "shortest",
        "MNIST",
    ),
    Break(
        "detectors.published.KernelDensity",
        _TEN,
        "arXiv 1705.07263, section 5.2",
        "the L2 attack with the density as a term of the loss",
        "shortest",
        "MNIST",
    ),
    Break(
        "detectors.published.DropoutUncertainty",
        _TEN,
        "arXiv 1705.07263, section 6.1",
        "the L2 attack on several networks of fixed dropout masks at once",
        "shortest",
        "MNIST and CIFAR-10",
        0.98,
        "a reader's public summary of the paper",
    ),
    Break(
        "detectors.published.LocalIntrinsicDimensionality",
        "Athalye et al. (2018)",
        "arXiv 1802.00420, table 1",
        "descent on the classifier's margin alone, to high confidence, L-inf 0.031",
        "confident",
        "CIFAR-10",
        0.95,
        "the authors' own copy of table 1 (an accuracy of 5 %)",
    ),
    Break(
        "detectors.published.FeatureSqueezing",
        "He et al. (2017)",
        "arXiv 1706.04701",
        "an attack that knows the squeezers",
        "straight_through",
        "MNIST and CIFAR-10",
    ),
    Break(
        "detectors.published.FeatureSqueezing",
        "Sharma & Chen (2018)",
        "arXiv 1803.09868",
        "stronger settings of attacks that do not know the squeezers",
        "confident",
        "MNIST and CIFAR-10",
    ),
    Break(
        "detectors.published.Odds",
        "Tramer et al. (2020)",
        "arXiv 2002.08347, logit matching",
        "the logits of a clean image of another class, L-inf 8/255",
        "matching",
        "CIFAR-10",
        0.837,
        f"{_NOTEBOOK} (an accuracy of 16.3 %)",
    ),
    Break(
        "detectors.published.Odds",
        "Tramer et al. (2020)",
        "arXiv 2002.08347, logit matching with expectation over the noise",
        "the same in the mean over noisy images, L-inf 8/255",
        "hinged",
        "CIFAR-10",
        1.0,
        f"{_NOTEBOOK} (an accuracy of 0.0 %)",
    ),
    Break(
        "detectors.published.MagNet",
        "Carlini & Wagner (2017b)",
        "arXiv 1711.08478",
        "the L2 attack; a slight increase in distortion, says the abstract",
        "shortest",
        "MNIST and CIFAR-10",
    ),
    Break(
        "detectors.published.DeepNearestNeighbours",
        "Sitawarin & Wagner (2019)",
        "arXiv 1903.08333",
        "descent on a differentiable loss in place of the counts",
        "parts",
        "MNIST",
    ),
    Break("detectors.published.Mahalanobis"),
    Break("detectors.published.SceneStatistics"),
    Break("detectors.published.Spectral"),
    Break("detectors.published.PredictionInconsistency"),
)
"""In the order of the tables."""
