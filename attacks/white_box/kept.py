"""What an attack on two networks keeps of its way: for each image the best point so far."""

import torch
from torch import Tensor

from attacks.margin import ahead, fooled
from attacks.problem import Problem


class Kept:
    """The best point of each image: misclassified with the lowest score; before that, nearest to being misclassified.

    One image for every false-positive rate, so that success at 5 %, at 50 % and the ROC speak of the same one. A score
    or lead of NaN is worse than any other.

    Args:
        problem: Whose images are attacked.
        targeted: Whether labels are targets to reach.
        ties: Whether a point that is as good as the one kept takes its place: a walk that crosses plateaus.
    """

    def __init__(self, problem: Problem, *, targeted: bool, ties: bool = False) -> None:
        self.points = problem.images.clone()
        self._labels = problem.labels
        self._targeted = targeted
        self._ties = ties
        self.fooled = torch.zeros_like(problem.labels, dtype=torch.bool)
        self.value = torch.full_like(problem.images[:, 0, 0, 0], -torch.inf)

    def offer(self, points: Tensor, logits: Tensor, scores: Tensor) -> Tensor:
        """Keep points that are better than what is kept.

        Args:
            points: (N, C, H, W).
            logits: (N, K), the model's on them.
            scores: (N,), the detector's.

        Returns:
            (N,) bool, which points fool the model.
        """
        points, logits, scores = points.detach(), logits.detach(), scores.detach()
        hit = fooled(logits, self._labels, targeted=self._targeted)
        value = torch.where(hit, -scores, ahead(logits, self._labels, targeted=self._targeted))
        value = value.masked_fill(value.isnan(), -torch.inf)
        lead = value >= self.value if self._ties else value > self.value
        better = (hit & ~self.fooled) | ((hit == self.fooled) & lead)
        self.points = torch.where(better.view(-1, 1, 1, 1), points, self.points)
        self.value = torch.where(better, value, self.value)
        self.fooled |= better & hit
        return hit
