"""Auto-PGD: projected gradient ascent with momentum, which halves its step size and restarts from its best point."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from attacks.base import Attack, MostPasses
from attacks.checks import at_least, lengths, one_of
from attacks.loop import Left, gradients_of
from attacks.margin import ahead, nearest_classes, rivals_of
from attacks.norms import NORMS, Ball, column
from attacks.problem import Problem
from attacks.white_box.walk import Kept

LOSSES = ("ce", "dlr")

_CHECKPOINTS = (22, 41, 57, 70, 80, 87, 93, 99)
"""The percentages of the steps at which progress is judged. Each period is 3 shorter than the last, and at least 6."""
_RISING = 0.75
"""The share of steps that must raise the loss; rho in the paper."""
_NEW = 0.75
"""The weight of the new step; the rest is momentum. Alpha in the paper."""
_STABLE = 1e-12
"""Added to the denominator of the DLR."""


class Asked(NamedTuple):
    """Outputs at points (n, C, H, W): the loss (n,) to raise, logits (n, K), the detector's scores (n,)."""

    loss: Tensor
    logits: Tensor
    scores: Tensor


@dataclass(frozen=True, kw_only=True)
class AutoPGD(Attack):
    """The walks of Algorithm 1; a subclass defines the loss that they raise, and their goals.

    Args:
        epsilon: Budget, at least 0, in the norm chosen (L-inf: at most 1).
        steps: Number of steps of a walk, at least 1.
        restarts: How often to start, at least once; the first time at the image, then at random points.
        norm: "linf" or "l2".
    """

    epsilon: float = 0.3
    steps: int = 100
    restarts: int = 1
    norm: Literal["linf", "l2"] = "linf"

    def __post_init__(self) -> None:
        one_of(NORMS, norm=self.norm)
        object.__setattr__(self, "norm_family", self.norm)
        at_least(1, steps=self.steps, restarts=self.restarts)
        lengths(self.norm, epsilon=self.epsilon)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        return torch.cat([self._best(part) for part in problem.chunks()])

    def most_passes(self, classes: int) -> MostPasses:
        """Return the most passes for an image; see `Attack.most_passes`."""
        walks = self.restarts * (1 if self.targeted else self._walks(classes))
        return MostPasses(walks * (self.steps + 1) + 1, walks * self.steps)

    @abstractmethod
    def _walks(self, classes: int) -> int:
        """Return how many walks an untargeted attack makes from a start, for a model with this many classes."""

    def _best(self, problem: Problem) -> Tensor:
        kept = Kept(problem, targeted=self.targeted, final=True)
        generators = problem.generators() if self.restarts > 1 else []
        goals = self._goals(problem)
        for restart in range(self.restarts):
            start = problem.images if restart == 0 else Ball(self.epsilon, self.norm).random(problem, generators)
            for goal in goals:
                rows = (~kept.accepted).nonzero().flatten()
                if len(rows):
                    part = kept.of(rows)
                    self.climb(problem[rows], start[rows], part, None if goal is None else goal[rows])
                    kept.put(rows, part)
        return kept.points

    def climb(self, problem: Problem, start: Tensor, kept: Kept, goal: Tensor | None) -> None:
        """Walk from a start (N, C, H, W) towards a goal (N,) and offer every point; images that are won leave."""
        left, climb = Left(problem), Climb(start, Ball(self.epsilon, self.norm), self.steps)
        part, best, towards = problem, kept.of(left.rows), goal
        for _ in range(self.steps):
            points = climb.points.detach().requires_grad_()
            asked = self._ask(part, points, towards)
            best.offer(points, asked.logits, asked.scores)
            (gradient,) = gradients_of([asked.loss], points)
            climb.move(part, asked.loss.detach(), gradient)
            rows = left.rows
            left.leave(rows, best.accepted)
            if left.end_step() and len(left) < len(rows):
                kept.put(rows, best)
                climb.keep(~best.accepted)
                part, best = problem[left.rows], kept.of(left.rows)
                towards = None if goal is None else goal[left.rows]
                if len(left) == 0:
                    return
        with torch.no_grad():
            asked = self._ask(part, climb.points, towards)
        best.offer(climb.points, asked.logits, asked.scores)
        kept.put(left.rows, best)

    @abstractmethod
    def _goals(self, problem: Problem) -> list[Tensor | None]:
        """Return the goal of each walk: classes (N,) to reach, or None to leave the label (targeted: to reach it)."""

    @abstractmethod
    def _ask(self, problem: Problem, points: Tensor, goal: Tensor | None) -> Asked:
        """Ask the networks about points (n, C, H, W)."""


@dataclass(frozen=True, kw_only=True)
class APGD(AutoPGD):
    r"""Auto-PGD on the classifier: :math:`x' = P(x + \alpha (P(x + \eta g) - x) + (1 - \alpha)(x - x_{before}))`.

    g is the gradient's sign (L2: the gradient at unit length), P the projection, :math:`\alpha` .75, and the step
    :math:`\eta` is :math:`2 \epsilon` at first. At checkpoints, which come ever sooner, an image whose loss rose in
    less than three quarters of the steps, or whose best loss and step are those of the last checkpoint, goes on from
    its best point with half the step. The first point that fools the model is returned, or the one nearest to it.

    The losses are the cross entropy and the difference of logits ratio, which does not change when the logits are
    rescaled, :math:`-(z_y - \max_{i \neq y} z_i) / (z_{\pi_1} - z_{\pi_3})` with sorted logits :math:`z_{\pi}`; towards
    a class t :math:`-(z_y - z_t) / (z_{\pi_1} - (z_{\pi_3} + z_{\pi_4}) / 2)`. AutoAttack's two are `loss="ce"` and
    `loss="dlr", targets=9`.

    Args:
        loss: "ce" or "dlr".
        targets: The number of walks, each towards another class: those of the largest logits on the clean image,
            without the label. 0: one walk that only leaves the label. A targeted attack has its target as its only
            goal.

    Reference: Croce & Hein, "Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-free
    Attacks", arXiv 2003.01690, algorithm 1, equations 6 and 7.

    Differences: The first start is the image. Progress is judged before the step that follows a checkpoint, as in the
    authors' code. With fewer than three classes (targeted: four) the difference of logits is not divided. Where the
    target is given, z_y is the largest other logit.
    """

    loss: Literal["ce", "dlr"] = "ce"
    targets: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(LOSSES, loss=self.loss)
        at_least(0, whole=True, targets=self.targets)

    def _walks(self, classes: int) -> int:
        return min(self.targets, classes - 1) or 1

    def _goals(self, problem: Problem) -> list[Tensor | None]:
        if self.targeted or self.targets == 0:
            return [None]
        return [*nearest_classes(problem, self.targets)]

    def _ask(self, problem: Problem, points: Tensor, goal: Tensor | None) -> Asked:
        logits = problem.model(points)
        reached = problem.labels if self.targeted else goal
        loss = _cross_entropy if self.loss == "ce" else _logits_ratio
        return Asked(loss(logits, problem.labels, reached), logits, torch.zeros_like(logits[:, 0]))


def _cross_entropy(logits: Tensor, labels: Tensor, goal: Tensor | None) -> Tensor:
    if goal is None:
        return functional.cross_entropy(logits, labels, reduction="none")
    return -functional.cross_entropy(logits, goal, reduction="none")


def _logits_ratio(logits: Tensor, labels: Tensor, goal: Tensor | None) -> Tensor:
    """Return the difference of logits ratio (N,); labels that equal the goal stand for the largest other logit."""
    lead = ahead(logits, labels)
    if goal is not None:
        reached = logits.gather(1, goal[:, None]).squeeze(1)
        others = rivals_of(logits, goal).amax(1)
        left = logits.gather(1, labels[:, None]).squeeze(1)
        lead = reached - torch.where(labels == goal, others, left)
    needed = 3 if goal is None else 4
    if logits.shape[1] < needed:
        return lead
    largest = logits.topk(needed, 1).values
    return lead / (largest[:, 0] - largest[:, 2:].mean(1) + _STABLE)


class Climb:
    """The state of Algorithm 1 for some images: points (n, C, H, W), step sizes, best points and losses.

    Args:
        start: (n, C, H, W), inside the ball.
        ball: The ball around the images in which the points stay.
        steps: Number of steps.
    """

    def __init__(self, start: Tensor, ball: Ball, steps: int) -> None:
        self.points = start
        self._before = start
        self._ball = ball
        self._number = 0
        self._checkpoints = {-(-share * steps // 100) for share in _CHECKPOINTS}
        self._judged = 0  # the last checkpoint
        self._size = torch.full_like(start[:, 0, 0, 0], 2 * ball.epsilon)
        self._halved = torch.zeros_like(self._size, dtype=torch.bool)
        self._risen = torch.zeros_like(self._size)
        self._loss = torch.full_like(self._size, torch.inf)  # nothing rises above it
        self._best_points, self._best_gradient = start, torch.zeros_like(start)
        self._best_loss = torch.full_like(self._size, -torch.inf)
        self._best_before = self._best_loss

    def move(self, problem: Problem, loss: Tensor, gradient: Tensor) -> None:
        """Record the loss (n,) and its gradient (n, C, H, W) at the points, and take a step."""
        gradient = problem.within_region(gradient)
        self._take_in(loss, gradient)
        if self._number in self._checkpoints:
            gradient = self._judge(gradient)
        points, images = self.points, problem.images
        moved = self._ball.project(points + column(self._size) * self._ball.direction(gradient), images)
        if self._number:
            momentum = points - self._before
            moved = self._ball.project(points + _NEW * (moved - points) + (1 - _NEW) * momentum, images)
        self._before, self.points = points, moved
        self._number += 1

    def keep(self, rows: Tensor) -> None:
        """Go on with some images only, (n,) bool."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value[rows])

    def _take_in(self, loss: Tensor, gradient: Tensor) -> None:
        self._risen = self._risen + (loss > self._loss)
        self._loss = loss
        better = loss > self._best_loss
        self._best_loss = torch.where(better, loss, self._best_loss)
        self._best_points = torch.where(column(better), self.points, self._best_points)
        self._best_gradient = torch.where(column(better), gradient, self._best_gradient)
        if self._number == 0:
            self._best_before = self._best_loss

    def _judge(self, gradient: Tensor) -> Tensor:
        """Halve the steps of images without progress and put them on their best points; return the gradients there."""
        stuck = ~self._halved & (self._best_loss == self._best_before)
        back = stuck | (self._risen < _RISING * (self._number - self._judged))
        self._size = torch.where(back, self._size / 2, self._size)
        self.points = torch.where(column(back), self._best_points, self.points)
        self._loss = torch.where(back, self._best_loss, self._loss)
        self._halved, self._best_before = back, self._best_loss
        self._risen, self._judged = torch.zeros_like(self._risen), self._number
        return torch.where(column(back), self._best_gradient, gradient)
