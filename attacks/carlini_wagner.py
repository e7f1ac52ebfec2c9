"""The attack of Carlini and Wagner in the L2 norm."""

from dataclasses import dataclass
from math import atanh

import torch
from torch import Tensor

from attacks.base import Attack
from attacks.checks import above_zero, at_least
from attacks.loop import Left, Shortest
from attacks.margin import ahead, fooled
from attacks.norms import column, l2
from attacks.problem import Problem

_EDGE = 0.01
"""The share of tanh's range left out at both ends: its slope at black and white is .02 of the steepest, not 0."""
_END = atanh(1 - _EDGE)
_CHECKS = 10
"""How often in a descent the loss is checked for progress."""
_STILL = 0.9999


@dataclass(frozen=True, kw_only=True)
class CarliniWagnerL2(Attack):
    r"""Minimise :math:`\lVert\delta\rVert^2 + c\,\max(\kappa - m(x + \delta), 0)`, with m the lead of a wrong class.

    Adam descends in the variable of tanh, starting at the image, for each of several constants c. The constant grows
    tenfold until one succeeds and is bisected from then on. Each image has its own constant, and its descents end
    independently of other images. Returned is the adversarial image with the smallest perturbation, or the image itself
    if there is none.

    Args:
        confidence: Least lead of the wrong class in logits, at least 0.
        learning_rate: Learning rate of Adam, above 0.
        search_steps: Number of constants, at least 1.
        steps: Largest number of Adam steps for each constant, at least 1.
        initial_constant: The first constant, above 0.
        abort_early: End a descent when a tenth of its steps has not lowered the loss by 1e-4 of it.

    Reference: Carlini and Wagner, "Towards Evaluating the Robustness of Neural Networks", arXiv 1608.04644, section V;
    defaults of cleverhans.

    Differences: The box is the middle 99 % of tanh's range. The authors' code takes all but a millionth, with which
        pixels at 0 and 1 hardly move in some hundred steps. The start is exactly the image, and lengths are measured
        from it. Progress of a descent is judged per image, not for the batch's sum.
    """

    norm_family = "l2"
    confidence: float = 0.0
    learning_rate: float = 5e-3
    search_steps: int = 5
    steps: int = 1000
    initial_constant: float = 1e-2
    abort_early: bool = True

    def __post_init__(self) -> None:
        at_least(0, confidence=self.confidence)
        at_least(1, search_steps=self.search_steps, steps=self.steps)
        above_zero(learning_rate=self.learning_rate, initial_constant=self.initial_constant)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        search = _Search(problem, self)
        while len(search.left):
            search.step()
        return search.shortest.points


class _Search:
    """The state of each image: its search for the constant, and its descent."""

    def __init__(self, problem: Problem, attack: CarliniWagnerL2) -> None:
        images = problem.images
        self.problem, self.attack = problem, attack
        self.shortest = Shortest(images)
        self.left = Left(problem)
        vector = images.new_zeros(len(images))
        self._constant = torch.full_like(vector, attack.initial_constant)
        self._low, self._high = vector.clone(), torch.full_like(vector, torch.inf)
        self._searches = torch.zeros_like(self.left.rows)
        self._origin = torch.atanh((2 * images - 1) * (1 - _EDGE))
        self._w, self._mean, self._square = self._origin.clone(), torch.zeros_like(images), torch.zeros_like(images)
        self._steps = torch.zeros_like(self.left.rows)  # 0: the descent starts, at the image and with no past
        self._previous = torch.full_like(vector, torch.inf)
        self._succeeded = torch.zeros_like(vector, dtype=torch.bool)

    def step(self) -> None:
        """Take a step of the descent with every image that is left."""
        for rows in self.left.batches():
            self._descend(rows)
        self.left.end_step()

    def _descend(self, rows: Tensor) -> None:
        part, attack = self.problem[rows], self.attack
        start = column(self._steps[rows] == 0)
        w = torch.where(start, self._origin[rows], self._w[rows])
        tanh = torch.tanh(w)
        moved = part.images + part.within_region((tanh / (1 - _EDGE) + 1) / 2 - part.images)
        points = torch.where(start, part.images, moved.clamp(0, 1)).requires_grad_()  # exactly, not but for rounding
        logits = part.model(points)
        hinge = (attack.confidence - ahead(logits, part.labels, targeted=attack.targeted)).clamp(min=0)
        (gradient,) = torch.autograd.grad(hinge.sum(), points)
        points, hinge = points.detach(), hinge.detach()
        change = points - part.images
        lengths, constant = l2(change), self._constant[rows]
        hit = fooled(logits.detach(), part.labels, targeted=attack.targeted) & (hinge == 0) & ~self.left.done(rows)
        self._succeeded[rows] |= hit
        self.shortest.offer(rows, points, lengths, hit)
        gradient = 2 * change + column(constant) * gradient
        gradient = part.within_region(gradient * (1 - tanh.square()) / (2 * (1 - _EDGE)))
        self._adam(rows, start, w, gradient)
        self._clock(rows, lengths.square() + constant * hinge)

    def _adam(self, rows: Tensor, start: Tensor, w: Tensor, gradient: Tensor) -> None:
        self._steps[rows] += 1
        steps = column(self._steps[rows].to(gradient.dtype))
        mean = self._mean[rows].masked_fill_(start, 0).mul_(0.9).add_(gradient, alpha=0.1)
        square = self._square[rows].masked_fill_(start, 0).mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        self._mean[rows], self._square[rows] = mean, square
        rate = self.attack.learning_rate * (1 - 0.999**steps).sqrt() / (1 - 0.9**steps)
        self._w[rows] = (w - rate * mean / (square.sqrt() + 1e-8)).clamp(-_END, _END)

    def _clock(self, rows: Tensor, loss: Tensor) -> None:
        """End the descents that have taken all steps or whose loss no longer falls."""
        attack, steps = self.attack, self._steps[rows]
        over = steps >= attack.steps
        if attack.abort_early:
            check = steps % max(1, attack.steps // _CHECKS) == 0
            over |= check & (loss > _STILL * self._previous[rows])
            self._previous[rows] = torch.where(check, loss, self._previous[rows])
        if not self.left.looks or over.any():  # to ask costs no wait then, and is less work
            self._restart(rows, over)

    def _restart(self, rows: Tensor, over: Tensor) -> None:
        """Choose the next constant for images whose descent is over, and start their next descent."""
        constant, hit = self._constant[rows], self._succeeded[rows]
        low, high = self._low[rows], self._high[rows]
        high = torch.where(over & hit, torch.minimum(high, constant), high)
        low = torch.where(over & ~hit, torch.maximum(low, constant), low)
        following = torch.where(high.isinf(), 10 * constant, (low + high) / 2)
        self._low[rows], self._high[rows] = low, high
        self._constant[rows] = torch.where(over, following, constant)
        self._searches[rows] += over
        self._steps[rows] *= ~over
        self._previous[rows] = self._previous[rows].masked_fill(over, torch.inf)
        self._succeeded[rows] = hit & ~over
        self.left.leave(rows, self._searches[rows] >= self.attack.search_steps)
