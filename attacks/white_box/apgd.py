"""Auto-PGD on the loss of two hinges: the model's margin and the detector's score."""

from dataclasses import dataclass

from torch import Tensor

from attacks.apgd import Asked, AutoPGD
from attacks.checks import above_zero, at_least
from attacks.margin import nearest_classes
from attacks.problem import Problem
from attacks.white_box.hinged import hinges, squared, standing


@dataclass(frozen=True, kw_only=True)
class HingedAPGD(AutoPGD):
    r"""Auto-PGD's walks (see `APGD`) down the loss of `HingedPGD`, over the same goals.

    An image that is misclassified and accepted takes part in no further walk and keeps the point. The result is for the
    threshold aimed at; without such a point, the misclassified one of lowest score is returned.

    Args:
        margin: By how many logits a goal is to lead, above 0.
        score_margin: By how many standard deviations of its clean scores the detector's score is to lie below the
            threshold, above 0.
        goals: So many classes, those of the largest logits on the clean image beside the label, are goals of a walk
            each, after one with no goal but to leave the label. Targeted attacks have their target only.

    Reference: Croce & Hein, arXiv 2003.01690, algorithm 1, on a loss of this project.
    """

    needs_detector = True
    margin: float = 1.0
    score_margin: float = 0.5
    goals: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(0, whole=True, goals=self.goals)
        above_zero(margin=self.margin, score_margin=self.score_margin)

    def _walks(self, classes: int) -> int:
        return 1 + min(self.goals, classes - 1)

    def _goals(self, problem: Problem) -> list[Tensor | None]:
        if self.targeted or self.goals == 0:
            return [None]
        return [None, *nearest_classes(problem, self.goals)]

    def _ask(self, problem: Problem, points: Tensor, goal: Tensor | None) -> Asked:
        logits, scores = problem.joint(points)
        stands = standing(problem, logits, goal, targeted=self.targeted)
        return Asked(-squared(hinges(problem, stands, scores, self.margin, self.score_margin)), logits, scores)
