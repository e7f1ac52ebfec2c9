"""Attacks that go against model and detector in the same step."""

from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.checks import above_zero, at_least
from attacks.margin import ahead, log_odds
from attacks.problem import Problem
from attacks.white_box.kept import Kept
from attacks.white_box.walk import Walk, gradients_of


@dataclass(frozen=True, kw_only=True)
class Joint(Walk):
    r"""Metzen et al.'s mix of two directions: :math:`x + a [(1 - s)\,\mathrm{sign}(\nabla L) - s\,\mathrm{sign}(\nabla d)]`.

    L is the model's cross entropy (its sign by the log-odds, which do not vanish), d the detector's score. Kept is the misclassified point of lowest score. Two
    backward passes a step. In the L2 norm the directions have unit length instead of signs.

    Args:
        epsilon: Budget, at least 0, in the norm chosen (L-inf: at most 1).
        step_size: The length a of the first step; None: a tenth of epsilon, or more if steps are few.
        steps: Number of steps, at least 1.
        restarts: Number of walks, at least 1; the first begins at the image, the others at random points.
        norm: "linf" or "l2".
        schedule: "constant" (the paper's), or "cosine": steps shorten to none along half a cosine.
        weights: The weights s, in [0, 1]: a walk for each. None: one walk, for each image with a weight drawn from
            U[0, 1], as the dynamic adversary of the training does.
        targeted: Whether labels are targets to reach.

    Raises:
        ValueError: If a number is out of its range or the norm another one.

    Reference:
        Metzen et al., "On Detecting Adversarial Perturbations", arXiv 1702.04267, section 3.2; s = .5 is the main
        paper's reading of it.
    """  # noqa: E501 - the formula

    weights: tuple[float, ...] | None = (0.5,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights is not None and (not self.weights or not all(0 <= weight <= 1 for weight in self.weights)):
            msg = f"weights must lie in [0, 1], at least one, or be null for drawn ones; got {list(self.weights)}"
            raise ValueError(msg)

    def _is_random(self) -> bool:
        return super()._is_random() or self.weights is None

    def _walks(self, problem: Problem, start: Tensor, kept: Kept, generators: list[torch.Generator]) -> None:
        like = problem.images
        if self.weights is None:
            drawn = torch.stack([torch.rand((), generator=g) for g in generators])
            weights = [drawn.to(like).view(-1, 1, 1, 1)]
        else:
            weights = [like.new_tensor(weight) for weight in self.weights]
        for weight in weights:
            self._walk(problem, start, kept, weight)

    def _walk(self, problem: Problem, points: Tensor, kept: Kept, weight: Tensor) -> None:
        ball = self.ball
        for number in range(self.steps):
            points = points.detach().requires_grad_()
            logits, scores = problem.joint(points)
            kept.offer(points, logits, scores)
            odds = log_odds(logits, problem.labels)
            model, detector = gradients_of([-odds if self.targeted else odds, scores], points)
            model, detector = (ball.direction(problem.within_region(each)) for each in (model, detector))
            step = self.length(number) * ((1 - weight) * model + weight * detector)
            points = ball.project(points.detach() - step, problem.images)
        with torch.no_grad():
            kept.offer(points, *problem.joint(points))


@dataclass(frozen=True, kw_only=True)
class JointLoss(Walk):
    r"""Descent of one loss, the label's margin plus :math:`\lambda` times the score, with a search of it per image.

    As long as a walk leaves an image misclassified, its :math:`\lambda` grows tenfold, and falls tenfold otherwise;
    once both have happened, their geometric mean follows. Kept is the misclassified point of lowest score.

    Args:
        epsilon: Budget, at least 0, in the norm chosen (L-inf: at most 1).
        step_size: Length of the first step in that norm; None: a tenth of epsilon, or more if steps are few.
        steps: Number of steps of a walk, at least 1.
        restarts: Number of searches, at least 1; the first begins at the image, the others at random points.
        norm: "linf" or "l2".
        schedule: "constant", or "cosine": steps shorten to none along half a cosine.
        search_steps: Number of walks of a search, at least 1.
        initial_weight: The first weight, above 0.
        targeted: Whether labels are targets to reach.

    Raises:
        ValueError: If a number is out of its range or the norm another one.

    Reference:
        The weighted sum that Carlini & Wagner, arXiv 1705.07263, attack detectors with; the search is that of their
        attack of minimal norm, arXiv 1608.04644, for another weight.
    """

    search_steps: int = 5
    initial_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, search_steps=self.search_steps)
        above_zero(initial_weight=self.initial_weight)

    def _walks(self, problem: Problem, start: Tensor, kept: Kept, generators: list[torch.Generator]) -> None:  # noqa: ARG002
        weight = torch.full_like(kept.value, self.initial_weight)
        low, high = torch.zeros_like(weight), torch.full_like(weight, torch.inf)
        for _ in range(self.search_steps):
            fooled = self._walk(problem, start, kept, weight)
            low, high = torch.where(fooled, weight, low), torch.where(fooled, high, weight)
            bisected = (low * high).sqrt()
            grown = torch.where(high.isinf(), weight * 10, weight / 10)
            weight = torch.where(high.isinf() | (low == 0), grown, bisected)

    def _walk(self, problem: Problem, points: Tensor, kept: Kept, weight: Tensor) -> Tensor:
        """Return which images (N,) some point of the walk had misclassified."""
        fooled = torch.zeros_like(kept.fooled)
        for number in range(self.steps):
            points = points.detach().requires_grad_()
            logits, scores = problem.joint(points)
            fooled |= kept.offer(points, logits, scores)
            loss = weight * scores - ahead(logits, problem.labels, targeted=self.targeted)
            points = self._moved(problem, points, gradients_of([loss], points)[0], number)
        with torch.no_grad():
            return fooled | kept.offer(points, *problem.joint(points))
