"""Any attack, on the grid of values that an image file holds."""

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
"""Those of a file of 16 bits; float32 tells them all apart."""
_BEYOND = 1.1
"""How much gain a step takes, as a multiple of what is missing to first order."""
_STABLE = 1e-4
"""Added to what is missing, so that a step is never empty."""
_SLACK = 4
"""Roundings of 1 by which a level may lie outside the ball: image plus epsilon is rounded as well."""


@dataclass(frozen=True, kw_only=True)
class Quantised(Attack):
    r"""Round another attack's images to the grid :math:`k / (\text{levels} - 1)`, and repair those that this undoes.

    A file of 8 bits holds 256 levels; rounded to them, many images of minimal norm lose their effect. Here every value
    goes to the nearest level, in a ball to the nearest one inside it. Where the model is not fooled then, values move
    by one level each, those of largest first-order gain first, as few as make up for what is missing; this is repeated.

    Only images on the grid are returned as adversarial. One that does not fool there comes back as it was, to the bit,
    also from attacks that return failures, as FGSM; so does one that the attack did not change. Where the attack
    changed anything, all values inside the region are rounded; those outside stay as they are, off the grid too. So
    with images off the grid (resized ones) the norm includes their own rounding, in L0 almost every value, and an L-inf
    ball narrower than half a level may hold no level. A repair moves only values that the attack had changed.

    With a detector, the first image that fools the model and is accepted (score of 0 or below) is returned; without
    any, of those that fool it the one of lowest score. A repair takes gradients, also of `Square`'s images, and asks
    for no more than that the model is fooled: a larger `confidence` or `probability` of the attack may be lost.

    Args:
        attack: What makes the images; DeepFool by default. It keeps to its ball: `epsilon` and `norm`, if it has them.
        levels: Values from 0 to 1 that a file has, from 2 to 65,536; 256 for 8 bits.
        steps: Most repairs of an image, at least 0; 0 only rounds and looks. Beyond the attack's own passes, an image
            costs one forward, and for each repair two forward and one backward.

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
            msg = f"Quantised rounds what one attack makes, but {name} runs others: put Quantised around those, inside"
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
    """Return where an attack stays; one of radius 1 holds all images."""
    epsilon = getattr(attack, "epsilon", None)
    return Ball(1.0 if epsilon is None else epsilon, getattr(attack, "norm", "linf"))


class _Rounding:
    """On which level the values of each image are, and the best image that was met there.

    `attacked` (N, C, H, W) are the attack's images; outside the region they equal the problem's.
    """

    def __init__(self, problem: Problem, attacked: Tensor, attack: Quantised) -> None:
        self.problem = problem
        self.attacked = attacked
        self.best = problem.images.clone()
        self._targeted = attack.targeted
        self._last = attack.levels - 1
        self._ball = _ball(attack.attack)
        self._rejection = problem.images.new_full((len(problem),), torch.inf)  # of the best: how far above 0 its score
        self._every = torch.arange(len(problem), device=problem.images.device)
        self._levels = self._nearest()

    def repaired(self, steps: int) -> Tensor:
        """Return the images (N, C, H, W) after at most so many steps."""
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
        """Ask the networks; return which images (n,) need no repair."""
        return self._look(rows, self._points(rows))[2]

    def _repair(self, rows: Tensor) -> Tensor:
        """Move values of images by a level; return of which (n,) any."""
        points = self._points(rows).requires_grad_()
        goal, missing, _ = self._look(rows, points)
        (gradient,) = gradients_of([goal], points)
        return self._move(rows, gradient, _BEYOND * missing + _STABLE)

    def _look(self, rows: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the value to raise, what it lacks, and which images need no repair, (n,) each; keep better points."""
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
        """Return logits (n, K) and scores (n,), 0 where there is no detector."""
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
        """Return the nearest levels (N, C, H, W); in an L2 ball, those towards the image where it has no room left."""
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
        """Return the lowest and the highest level of each value in an L-inf ball; of 0 and 1 in another."""
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
    """Return which values to take, largest gain first, until they have what is needed; (N, m), 1 or 0.

    Args:
        gain: (N, m), at least 0; what has none is not taken.
        cost: (N, m), of any sign.
        needed: (N,), the least sum of gains.
        room: (N,), the largest sum of costs.
    """
    gains, order = gain.sort(dim=1, descending=True, stable=True)
    spent = cost.gather(1, order).cumsum(1)
    taken = (gains > 0) & (gains.cumsum(1) - gains < needed[:, None]) & (spent <= room[:, None])
    return torch.zeros_like(gain).scatter(1, order, taken.to(gain.dtype))
