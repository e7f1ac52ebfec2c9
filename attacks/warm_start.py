"""Carlini and Wagner's problem in the L2 norm, solved from a warm start: fast enough for large sets."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from attacks.base import Attack
from attacks.checks import above_zero, at_least, at_most, one_of
from attacks.deepfool import DeepFool
from attacks.loop import Left, Shortest
from attacks.margin import ahead, fooled
from attacks.norms import column, l2
from attacks.problem import Problem

STARTS = ("deepfool", "image")

_WALK = 50
"""The largest number of steps towards the boundary; then the attack gives an image up."""
_LEAST = 0.1
"""The share of the step size that the last steps keep."""
_STABLE = 1e-4
"""Added to a gap in logits, so that a step from the boundary still crosses it."""
_TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class WarmCarliniWagnerL2(Attack):
    r"""Minimise :math:`\lVert\delta\rVert^2 - c\,m(x + \delta)`, with m the lead of a wrong class, from the boundary.

    The problem is that of `CarliniWagnerL2`; the solver is another. First it goes to the boundary: by DeepFool's walk,
    or from the image by steps along the gradient of m, each a bit beyond the boundary of the linearised model. The
    first constant is the right one for a linear model, :math:`c = 2\lVert\delta\rVert / \lVert\nabla m\rVert`; The
    descent is in image space, clipped to [0, 1]. In place of a binary search, the constant shrinks after each
    adversarial step and grows after each other one. Every image has its own constant. Returned is the adversarial image
    with the smallest perturbation, or the image itself if there is none.

    Args:
        confidence: Least lead of the wrong class in logits, at least 0.
        steps: Number of steps of the descent, at least 1. Each costs a forward and a backward pass, the last only a
            forward one. With 1 the result is the adversarial point from which a descent would start.
        step_size: Share of the way to the minimiser of the linearised problem that half a step goes, in (0, .5]; falls
            linearly to a tenth.
        constant_rate: Share by which the constant changes at first, above 0; it falls linearly to 0.
        start: "deepfool": DeepFool's walk, which examines several classes for the nearest. "image": steps towards the
            class of the highest logit, with at most one backward pass per forward pass. Targeted attacks always use the
            latter, with their target.
        overshoot: How far a step from the image goes beyond the boundary, as a share of the step; at least 0. Large
            values with few `steps` are fast: most images need one step.

    Reference: Carlini and Wagner, "Towards Evaluating the Robustness of Neural Networks", arXiv 1608.04644, section V,
    for the problem; the solver is this project's. Not the original's semantics: say so where you report it.
    """

    norm_family = "l2"
    confidence: float = 0.0
    steps: int = 20
    step_size: float = 0.3
    constant_rate: float = 0.3
    start: Literal["deepfool", "image"] = "deepfool"
    overshoot: float = 0.02

    def __post_init__(self) -> None:
        at_least(0, confidence=self.confidence, overshoot=self.overshoot)
        at_least(1, steps=self.steps)
        above_zero(step_size=self.step_size, constant_rate=self.constant_rate)
        at_most(1 / 2, step_size=self.step_size)
        one_of(STARTS, start=self.start)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        at_image = self.targeted or self.start == "image"
        descent = _Descent(problem, self, problem.images if at_image else DeepFool().perturb(problem))
        while len(descent.left):
            descent.step()
        return descent.shortest.points


class _Descent:
    """The state of each image: its point, its constant, and its number of steps since it became adversarial."""

    def __init__(self, problem: Problem, attack: WarmCarliniWagnerL2, start: Tensor) -> None:
        images = problem.images
        self.problem, self.attack = problem, attack
        self.shortest = Shortest(images)
        self.left = Left(problem)
        self._points = start.clone()
        self._constant = images.new_zeros(len(images))  # 0: not adversarial yet
        self._clock = images.new_zeros(len(images))
        self._walked = images.new_zeros(len(images))

    def step(self) -> None:
        """Take a step with every image that is left."""
        for rows in self.left.batches():
            self._step(rows)
            over = (self._clock[rows] >= self.attack.steps) | (self._walked[rows] >= _WALK)
            self.left.leave(rows, over | (self.shortest.lengths[rows] == 0))
        self.left.end_step()

    def _step(self, rows: Tensor) -> None:
        part, attack = self.problem[rows], self.attack
        points = self._points[rows].requires_grad_()
        logits = part.model(points)
        margin = ahead(logits, part.labels, targeted=attack.targeted)
        length = l2(points.detach() - part.images)
        hit = fooled(logits.detach(), part.labels, targeted=attack.targeted) & (margin.detach() >= attack.confidence)
        self.shortest.offer(rows, points.detach(), length, hit & ~self.left.done(rows))
        descends = hit | (self._constant[rows] > 0)
        if self.left.looks and (descends & (self._clock[rows] + 1 >= attack.steps)).all():  # no step follows
            self._clock[rows] += 1
            return
        gradient = part.within_region(torch.autograd.grad(margin.sum(), points)[0])
        self._move(rows, points.detach(), margin.detach(), gradient, hit)

    def _move(self, rows: Tensor, points: Tensor, margin: Tensor, gradient: Tensor, hit: Tensor) -> None:
        attack, change, steepness = self.attack, points - self.problem.images[rows], l2(gradient) + _TINY
        left = 1 - self._clock[rows] / attack.steps
        constant = self._next_constant(rows, hit, 2 * l2(change) / steepness, 1 + attack.constant_rate * left)
        descent = 2 * change - column(constant) * gradient
        rate = attack.step_size * left.clamp(min=_LEAST)
        gap = (1 + attack.overshoot) * ((attack.confidence - margin).clamp(min=0) + _STABLE) / steepness.square()
        moved = torch.where(column(constant) > 0, points - column(rate) * descent, points + column(gap) * gradient)
        self._points[rows] = moved.clamp(0, 1)
        self._clock[rows] += constant > 0
        self._walked[rows] += constant == 0

    def _next_constant(self, rows: Tensor, hit: Tensor, first: Tensor, factor: Tensor) -> Tensor:
        constant = self._constant[rows]
        turned = torch.where(hit, constant / factor, constant * factor)
        self._constant[rows] = torch.where(constant > 0, turned, first.masked_fill(~hit, 0))
        return self._constant[rows]
