"""A detector's scores of the test images under an attack, for the metrics."""

from experiments.study.contenders import Contender
from experiments.study.images import AttackedSet, TestImages
from experiments.study.metrics import PairScores


def pair_scores(images: TestImages, contender: Contender, under: AttackedSet) -> PairScores:
    """Return what a detector scores on all pairs under an attack."""
    fooled = under.subsets["successful"]
    return PairScores(
        contender,
        clean=images.scores(contender.module),
        adversarial=images.scores(contender.module, under),
        rounded=images.scores(contender.module, under, "rounded"),
        noise=images.scores(contender.module, under, "noise"),
        right=fooled | under.subsets["failed"],
        fooled=fooled,
    )
