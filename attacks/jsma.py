"""Attacks that change few values strongly: JSMA, and a cheaper greedy one."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from attacks.base import Attack
from attacks.checks import at_least, at_most, number
from attacks.errors import InputError
from attacks.loop import Left
from attacks.margin import ahead, fooled
from attacks.norms import column
from attacks.pixel_pairs import best_pair, likely_pair
from attacks.problem import Problem, drawn

_ROOM = 0.01
"""Values closer than this to the end of the range that they would move to are left alone, as in cleverhans."""


class _Moves(NamedTuple):
    """The next moves of n images."""

    pairs: Tensor  # (n, 2) values to change
    ends: Tensor  # (n, 2) what they become
    exist: Tensor  # (n,) bool, whether there is such a pair
    known: Tensor  # (n,) bool; if False, the other fields are undefined, and the image waits for another search


@dataclass(frozen=True, kw_only=True)
class _FewValues(Attack):
    """Change two values a step, each once, until the goal is reached, no value is left, or gamma is used up.

    Args:
        gamma: Largest share of values that may change, in [0, 1].
    """

    norm_family = "l0"
    gamma: float = 1.0

    def __post_init__(self) -> None:
        at_least(0, gamma=self.gamma)
        at_most(1, gamma=self.gamma)

    @abstractmethod
    def _goals(self, labels: Tensor, classes: int, draws: Tensor) -> tuple[Tensor, bool]:
        """Return classes (n,), and whether the attack reaches or leaves them."""

    @abstractmethod
    def _free(self, images: Tensor) -> Tensor:
        """Return which values (N, C, H, W) may change."""

    @abstractmethod
    def _moves(self, logits: Tensor, points: Tensor, goals: Tensor, free: Tensor, *, waits: bool) -> _Moves:
        """Return the next moves; `free` is (N, C * H * W) bool. If the host `waits`, all images have theirs."""

    def _draws(self, problem: Problem) -> Tensor:
        """Return a number in [0, 1) for each image, by which `_goals` may choose classes."""
        return torch.zeros(len(problem), dtype=torch.float64, device=problem.images.device)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        points = problem.images.clone()
        free = problem.within_region(self._free(points)).flatten(1).bool()
        draws = self._draws(problem)
        left = Left(problem)
        steps = torch.zeros_like(left.rows)
        most = int(free.shape[1] * self.gamma / 2 + 1e-9)  # not one less by rounding
        while most and len(left):
            for rows in left.batches():
                part, here = problem[rows], points[rows].requires_grad_()
                logits = part.model(here)
                goals, reach = self._goals(part.labels, logits.shape[1], draws[rows])
                success = fooled(logits.detach(), part.labels, targeted=self.targeted)
                before, step = left.done(rows), steps[rows]
                done = before | fooled(logits.detach(), goals, targeted=reach) | (step == most)  # then it only looks
                done |= success & (step == 0)  # a goal reached before is reached, whatever target was drawn
                if not (left.looks and done.all()):
                    moves = self._moves(logits, here, goals, free[rows], waits=left.looks)
                    done |= moves.known & ~moves.exist
                    going = moves.known & ~done
                    _move(rows, going, moves, points, free)
                    steps[rows] = step + going
                failed = done & ~before & ~success
                points[rows] = torch.where(column(failed), part.images, points[rows])
                left.leave(rows, done)
            left.end_step()
        return points


def _move(rows: Tensor, going: Tensor, moves: _Moves, points: Tensor, free: Tensor) -> None:
    """Move values of those images (n,) that are `going` (n,), in place. A value moves at most once."""
    spots, going = (rows[:, None], moves.pairs), going[:, None]
    values = points.view(len(points), -1)
    current = values[spots]
    free[spots] &= ~going | (current == moves.ends)
    values[spots] = torch.where(going, moves.ends, current)


@dataclass(frozen=True, kw_only=True)
class JSMA(_FewValues):
    r"""Jacobian-based saliency map attack: move the pair of values that helps the target most, step by step.

    With :math:`\alpha` the sum over a pair of the gradients of the target's logit and :math:`\beta` that of all other
    logits, the pair of largest :math:`-\alpha\beta` among those with :math:`\alpha > 0 > \beta` moves by theta (theta
    below 0: with both signs turned). A value moves once. Values are features: a pixel of a colour image has three.

    Args:
        theta: Change of a pixel's value in one step, in [-1, 1], not 0.
        targeted: Whether labels are targets. Otherwise each image gets another class as its target, drawn at random.
            Reaching it ends the attack; any wrong class at the end is a success.

    Reference: Papernot et al., "The Limitations of Deep Learning in Adversarial Settings", arXiv 1511.07528v1,
    algorithms 2 and 3 on logits. A step costs one forward and two backward passes. On a GPU an image may wait some
    steps for the search of its pair, so that the host need not wait for the device: see `likely_pair`.

    Differences: Torchattacks picks the same pixels. Advertorch may also pick saturated values, so that results are
        equal only on images without values near the ends of the range.
    """

    theta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        number(theta=self.theta)
        if not 0 < abs(self.theta) <= 1:
            msg = f"theta must be in [-1, 1] and not 0, got {self.theta}"
            raise InputError(msg)

    def _draws(self, problem: Problem) -> Tensor:
        if self.targeted:
            return super()._draws(problem)
        return drawn(problem.generators(), dtype=torch.float64).to(problem.images.device)

    def _goals(self, labels: Tensor, classes: int, draws: Tensor) -> tuple[Tensor, bool]:
        if self.targeted:
            return labels, True
        return (labels + 1 + (draws * (classes - 1)).long()) % classes, True

    def _free(self, images: Tensor) -> Tensor:
        return images < 1 - _ROOM if self.theta > 0 else images > _ROOM

    def _moves(self, logits: Tensor, points: Tensor, goals: Tensor, free: Tensor, *, waits: bool) -> _Moves:
        target = logits.gather(1, goals[:, None]).sum()
        sign = 1.0 if self.theta > 0 else -1.0
        gain = sign * torch.autograd.grad(target, points, retain_graph=True)[0].flatten(1)
        loss = sign * torch.autograd.grad(target - logits.sum(), points)[0].flatten(1)
        if waits:
            pairs, exist = best_pair(gain, loss, free)
            known = torch.ones_like(exist)
        else:
            pairs, exist, known = likely_pair(gain, loss, free)
        ends = (points.detach().flatten(1).gather(1, pairs) + self.theta).clamp(0, 1)
        return _Moves(pairs, ends, exist, known)


@dataclass(frozen=True, kw_only=True)
class GreedyL0(_FewValues):
    """Move the two values that change the label's lead most, each to the helpful end of the range.

    The first-order gain of a value is its gradient times its distance to that end. Unlike JSMA it takes one backward
    pass a step, does not search pairs, and moves values in both directions; it changes fewer values.
    """

    def _goals(self, labels: Tensor, classes: int, draws: Tensor) -> tuple[Tensor, bool]:  # noqa: ARG002 - the loop's
        return labels, self.targeted

    def _free(self, images: Tensor) -> Tensor:
        return torch.ones_like(images, dtype=torch.bool)

    def _moves(
        self,
        logits: Tensor,
        points: Tensor,
        goals: Tensor,
        free: Tensor,
        *,
        waits: bool,  # noqa: ARG002 - the loop's
    ) -> _Moves:
        (gradient,) = torch.autograd.grad(ahead(logits, goals, targeted=self.targeted).sum(), points)
        gradient, values = gradient.flatten(1), points.detach().flatten(1)
        gains = torch.where(gradient > 0, gradient * (1 - values), -gradient * values)
        best, pairs = gains.masked_fill(~free, 0).topk(2, 1)
        ends = torch.where(best > 0, (gradient.gather(1, pairs) > 0).to(values.dtype), values.gather(1, pairs))
        exist = best[:, 0] > 0
        return _Moves(pairs, ends, exist, known=torch.ones_like(exist))
