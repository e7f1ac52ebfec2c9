"""The main paper's white-box attack: a step against the classifier, then one against the detector."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from attacks.base import Attack, MostPasses
from attacks.checks import at_least, lengths, one_of
from attacks.errors import InputError
from attacks.loop import gradients_of
from attacks.margin import fooled, log_odds
from attacks.norms import column, project_linf
from attacks.outputs import named
from attacks.problem import Problem

UPDATES = ("accumulate", "literal")


@dataclass(frozen=True, kw_only=True)
class Alternating(Attack):
    r"""Schut & Gal's alternation of signed steps against the classifier and the detector, the last point returned.

    Each iteration steps against the classifier where it is not fooled yet, then against the detector where it still
    rejects (equations 3 and 4). An image that fools both stands still. The classifier's sign is that of its cross
    entropy, taken from the log-odds, which do not vanish where the softmax saturates.

    Args:
        step_size: L-inf length of each of the two steps, in [0, 1]; .005 in the authors' code for CIFAR-10.
        steps: Iterations T, at least 1; 5 in the paper.
        update: accumulate: each step starts where the last one ended; literal: each starts at the image, as the
            equations are printed, so that the detector's step overwrites the classifier's.
        through_saliency: Whether the detector's step goes along its gradient with respect to the image, through
            everything that it looks at. False: the authors' code, a step of the representation with the map held
            constant; only for detectors with `representation_step`.
        epsilon: L-inf budget of the whole, in [0, 1]; None: none, as in the paper, so only [0, 1].

    Raises:
        ValueError: When called with through_saliency=False, if the detector has no `representation_step`.

    Reference: Schut & Gal (2020), section 3.7, equations 3 and 4, appendix C; for ID and JSD the choice of this project
    is the same alternation.
    """

    needs_detector = True
    norm_family = "linf"
    step_size: float = 0.03
    steps: int = 5
    update: Literal["accumulate", "literal"] = "accumulate"
    through_saliency: bool = True
    epsilon: float | None = None

    def __post_init__(self) -> None:
        one_of(UPDATES, update=self.update)
        at_least(1, steps=self.steps)
        lengths("linf", step_size=self.step_size, epsilon=0 if self.epsilon is None else self.epsilon)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        if not self.through_saliency and not _has_step(problem):
            needs = "Alternating(through_saliency=False) needs a detector with representation_step"
            msg = f"{needs}, and {named(problem.detector)} has none: leave out through_saliency"
            raise InputError(msg)
        return torch.cat([self._alternate(part) for part in problem.chunks()])

    def most_passes(self, classes: int) -> MostPasses:  # noqa: ARG002 - the interface
        """Return the most passes for an image; see `Attack.most_passes`."""
        return MostPasses((2 if self.through_saliency else 3) * self.steps, 2 * self.steps)

    def _alternate(self, problem: Problem) -> Tensor:
        points = problem.images
        for _ in range(self.steps):
            points = self._against_classifier(problem, points)
            points = self._against_detector(problem, points)
        return points

    def _against_classifier(self, problem: Problem, points: Tensor) -> Tensor:
        points = points.detach().requires_grad_()
        logits = problem.model(points)
        odds = log_odds(logits, problem.labels)
        (gradient,) = gradients_of([-odds if self.targeted else odds], points)
        done = fooled(logits.detach(), problem.labels, targeted=self.targeted)
        return self._moved(problem, points.detach(), -self.step_size * gradient.sign(), done)

    def _against_detector(self, problem: Problem, points: Tensor) -> Tensor:
        points = points.detach().requires_grad_(self.through_saliency)
        with torch.set_grad_enabled(self.through_saliency):
            _, scores = problem.joint(points)
        if self.through_saliency:
            change = -self.step_size * gradients_of([scores], points)[0].sign()
        else:
            change = problem.representation_step(points, self.step_size)
        return self._moved(problem, points.detach(), change, scores.detach() <= 0)

    def _moved(self, problem: Problem, points: Tensor, change: Tensor, done: Tensor) -> Tensor:
        """Return the points (N, C, H, W), moved where they are not done (N,)."""
        origin = points if self.update == "accumulate" else problem.images
        radius = 1.0 if self.epsilon is None else self.epsilon
        moved = project_linf(origin + problem.within_region(change), problem.images, radius)
        return torch.where(column(done), points, moved)


def _has_step(problem: Problem) -> bool:
    inner = getattr(problem.detector, "detector", problem.detector)  # of one aimed at a threshold
    return hasattr(inner, "representation_step") and getattr(inner, "has_representation_step", True)
