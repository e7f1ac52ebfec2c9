"""Another attack's images, rounded to the values that an image file can hold."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from attacks.adapter import Advertorch
from attacks.base import Attack
from attacks.checks import alike, at_least, at_most
from attacks.deepfool import DeepFool
from attacks.errors import InputTypeError
from attacks.loop import Left, gradients_of
from attacks.margin import ahead, fooled
from attacks.norms import Ball, column
from attacks.one_of import OneOf
from attacks.problem import Problem
from attacks.white_box.transfer import Transfer

_MOST_LEVELS = 2**16
"""The levels of a 16-bit file; float32 distinguishes them all."""
_BEYOND = 1.1
"""The gain of a step, as a multiple of the missing gain to first order."""
_STABLE = 1e-4
"""Added to the missing gain, so that a step is never empty."""
_SLACK = 4
"""How far a level may lie outside the ball, in roundings of 1: image plus epsilon is itself rounded."""


@dataclass(frozen=True, kw_only=True)
class Quantised(Attack):
    r"""Round another attack's images to the grid :math:`k / (\text{levels} - 1)`, and repair those that then fail.

    A file of 8 bits holds 256 levels. Rounded to them, many adversarial images of minimal norm no longer fool the
    model. Here every value goes to the nearest level, in a ball to the nearest one inside it. If the model is not
    fooled then, a repair moves as few values as needed by one level each, those of the largest first-order gain first.
    Repairs are repeated.

    All adversarial images returned lie on the grid. An image that does not fool the model there is returned unchanged,
    to the bit, even if the attack returns its failures as FGSM does; so is one that the attack did not change. In an
    image that the attack changed, all values inside the region are rounded; those outside keep their values, on the
    grid or not. So for images off the grid (resized ones) the norm includes their own rounding, in L0 almost every
    value, and an L-inf ball narrower than half a level may hold no level. A repair moves only values that the attack
    changed.

    With a detector, the first image is returned that fools the model and is accepted (score of 0 or below); if there is
    none, the one of the lowest score among those that fool the model. A repair uses gradients, even for `Square`. It
    only makes sure that the model is fooled: a higher `confidence` or `probability` of the attack may be lost.

    Args:
        attack: The attack whose images are rounded; DeepFool by default. Its ball (`epsilon` and `norm`, if it has
            them) is kept.
        levels: Values from 0 to 1 that a file has, from 2 to 65,536; 256 for 8 bits.
        steps: Largest number of repairs of an image, at least 0; 0 only rounds. Beyond the attack's own passes, an
            image costs one forward pass, and each repair two forward passes and one backward pass.

    Raises:
        TypeError: If the attack is none, or `OneOf`, `Transfer`, `Quantised` or `Advertorch`.

    Reference: Of this project. Rony et al., arXiv 1811.09600, quantise inside their walk instead.
    """

    attack: Attack = field(default_factory=DeepFool)
    levels: int = 256
    steps: int = 10

    def __post_init__(self) -> None:
        at_least(2, levels=self.levels)
        at_most(_MOST_LEVELS, levels=self.levels)
        at_least(0, whole=True, steps=self.steps)
        if not isinstance(self.attack, Attack):
            msg = f"Quantised needs an attack, got {self.attack!r}"
            raise InputTypeError(msg)
        if isinstance(self.attack, OneOf | Transfer | Quantised):
            name = type(self.attack).__name__
            msg = f"Quantised rounds the images of one attack, but {name} runs others: put it around each of them"
            raise InputTypeError(msg)
        if isinstance(self.attack, Advertorch):
            msg = "Quantised needs the wrapped attack's norm and epsilon, which attacks of advertorch do not expose"
            raise InputTypeError(msg)
        alike(self, self.attack)
        object.__setattr__(self, "needs_detector", self.attack.needs_detector)
        object.__setattr__(self, "norm_family", self.attack.norm_family)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        attacked = self.attack.perturb(problem).detach()
        if problem.region is not None:
            attacked = torch.where(problem.region, attacked, problem.images)
        return _Rounding(problem, attacked, self).repaired(self.steps)


def _ball(attack: Attack) -> Ball:
    """Return the ball that an attack keeps to; a ball of radius 1 if it has none, which holds all images."""
    epsilon = getattr(attack, "epsilon", None)
    return Ball(1.0 if epsilon is None else epsilon, getattr(attack, "norm", "linf"))


class _Rounding:
    """The level of each value of each image, and the best image so far.

    `attacked` (N, C, H, W) are the attack's images; outside the region they equal the problem's.
    """

    def __init__(self, problem: Problem, attacked: Tensor, attack: Quantised) -> None:
        self.problem = problem
        self.attacked = attacked
        self.best = problem.images.clone()
        self._targeted = attack.targeted
        self._last = attack.levels - 1
        self._ball = _ball(attack.attack)
        self._rejection = problem.images.new_full((len(problem),), torch.inf)  # of the best: its score above 0
        self._every = torch.arange(len(problem), device=problem.images.device)
        self._levels = self._nearest()

    def repaired(self, steps: int) -> Tensor:
        """Return the images (N, C, H, W) after at most this many repairs."""
        changed = (self.attacked != self.problem.images).flatten(1).any(1)
        rows = (changed & self._fit()).nonzero().flatten()  # waits for a device, but once; as the next
        if len(rows) == 0:
            return self.best
        done = torch.cat([self._settled(batch) for batch in self.problem.batches(rows)])
        left = Left(self.problem, rows[~done])
        for _ in range(steps):
            if len(left) == 0:
                return self.best
            for batch in left.batches():
                stuck = ~self._repair(batch)
                left.leave(batch, stuck | self._settled(batch))
            left.end_step()
        return self.best

    @torch.no_grad()
    def _settled(self, rows: Tensor) -> Tensor:
        """Evaluate the networks; return which images (n,) need no repair."""
        return self._look(rows, self._points(rows))[2]

    def _repair(self, rows: Tensor) -> Tensor:
        """Move values of images by a level; return which images changed, (n,) bool."""
        points = self._points(rows).requires_grad_()
        goal, missing, _ = self._look(rows, points)
        (gradient,) = gradients_of([goal], points)
        return self._move(rows, gradient, _BEYOND * missing + _STABLE)

    def _look(self, rows: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the value to raise, its missing gain, which images need no repair; keep better points."""
        part = self.problem[rows]
        logits, scores = self._asked(part, points)
        hit = fooled(logits.detach(), part.labels, targeted=self._targeted)
        goal = torch.where(hit, -scores, ahead(logits, part.labels, targeted=self._targeted))
        rejection = scores.detach().nan_to_num(torch.inf).clamp(0, torch.finfo(scores.dtype).max)
        better = hit & (rejection < self._rejection[rows])
        self.best[rows] = torch.where(column(better), points.detach(), self.best[rows])
        self._rejection[rows] = torch.where(better, rejection, self._rejection[rows])
        return goal, (-goal.detach()).clamp(min=0), hit & (rejection == 0)

    def _asked(self, part: Problem, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (n, K) and scores (n,), which are 0 without a detector."""
        if part.detector is not None:
            return part.joint(points)
        logits = part.model(points)
        return logits, torch.zeros_like(logits[:, 0])

    def _points(self, rows: Tensor) -> Tensor:
        """Return the images (n, C, H, W) that the levels stand for."""
        levels = self._levels[rows]
        rounded = levels / torch.full_like(levels[:1, :1, :1, :1], self._last)  # a device multiplies by 1 / a number
        part = self.problem[rows]
        return rounded if part.region is None else torch.where(part.region, rounded, part.images)

    def _move(self, rows: Tensor, gradient: Tensor, needed: Tensor) -> Tensor:
        """Move the values of largest gain by one level until the gain is `needed` (n,); return which images changed."""
        images, levels = self.problem.images[rows], self._levels[rows]
        low, high = self._bounds(images)
        sign = self.problem[rows].within_region(gradient).sign()
        beyond = (levels + sign < low) | (levels + sign > high) | (self.attacked[rows] == images)
        sign = sign.masked_fill(beyond, 0)
        cost = 2 * sign * (levels - images * self._last) + sign.abs()
        taken = fewest((gradient * sign).flatten(1) / self._last, cost.flatten(1), needed, self._room(levels, rows))
        self._levels[rows] = levels + sign * taken.view_as(sign)
        return taken.any(1)

    def _nearest(self) -> Tensor:
        """Return the nearest levels (N, C, H, W); outside an L2 ball, the next ones towards the image."""
        images, scaled = self.problem.images, self.attacked * self._last
        low, high = self._bounds(images)
        nearest = torch.minimum(torch.maximum(scaled.round(), low), high)
        if self._ball.norm == "linf":
            return nearest
        towards = torch.where(self.attacked > images, scaled.floor(), scaled.ceil())
        towards = torch.where(self.attacked == images, nearest, towards)  # unchanged, or outside the region
        away = nearest - towards
        cost = 2 * away * (towards - images * self._last) + away.abs()
        gain, endless = (scaled - towards).abs() * away.abs(), torch.full_like(scaled[:, 0, 0, 0], torch.inf)
        taken = fewest(gain.flatten(1), cost.flatten(1), endless, self._room(towards, self._every))
        return towards + away * taken.view_as(away)

    def _fit(self) -> Tensor:
        """Return whether the levels lie in the ball, (N,)."""
        low, high = self._bounds(self.problem.images)
        missed = self.problem.within_region(low > high).flatten(1).any(1)
        return ~missed & (self._room(self._levels, self._every) >= 0)

    def _bounds(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the lowest and the highest level of each value in an L-inf ball; in another ball those of 0 and 1."""
        radius = self._ball.epsilon if self._ball.norm == "linf" else 1.0
        slack = _SLACK * torch.finfo(images.dtype).eps
        low = ((images - radius - slack) * self._last).ceil()
        high = ((images + radius + slack) * self._last).floor()
        return low.clamp(min=0), high.clamp(max=self._last)

    def _room(self, levels: Tensor, rows: Tensor) -> Tensor:
        """Return by how much the squared length of the change may grow in an L2 ball, (n,), in levels."""
        part = self.problem[rows]
        length = part.within_region(levels - part.images * self._last).flatten(1).square().sum(1)
        radius = self._ball.epsilon * self._last if self._ball.norm == "l2" else torch.inf
        return radius**2 - length


def fewest(gain: Tensor, cost: Tensor, needed: Tensor, room: Tensor) -> Tensor:
    """Choose values by their gain, the largest first, until their sum reaches what is needed; (N, m), 1 or 0.

    Args:
        gain: (N, m), at least 0; values of gain 0 are not taken.
        cost: (N, m), positive or negative.
        needed: (N,), the least sum of gains.
        room: (N,), the largest sum of costs.
    """
    gains, order = gain.sort(dim=1, descending=True, stable=True)
    spent = cost.gather(1, order).cumsum(1)
    taken = (gains > 0) & (gains.cumsum(1) - gains < needed[:, None]) & (spent <= room[:, None])
    return torch.zeros_like(gain).scatter(1, order, taken.to(gain.dtype))
