"""DeepFool in the L2 norm."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from attacks.base import Attack
from attacks.checks import at_least, untargeted
from attacks.loop import Left
from attacks.margin import fooled, rivals_of
from attacks.norms import column
from attacks.problem import Problem

_NEAR = 3
"""The number of rival classes that the first step examines; the others are examined only if one could be nearer."""
_FOLLOWED = 2
"""The largest number of rival classes that later steps examine."""
_SPREAD = 1.1
"""Later steps leave out a rival class that was this many times farther away than the nearest."""
_STEEPER = 3
"""The assumed limit of a far rival's gradient length, in lengths of the steepest near rival's gradient."""
_STABLE = 1e-4
"""Added to a distance, as foolbox does, so that a step from the boundary still crosses it."""
_TINY = 1e-8
"""Added to gradient lengths, which may be 0."""


@dataclass(frozen=True, kw_only=True)
class DeepFool(Attack):
    r"""Walk to the nearest boundary of the classifier, linearised at each step, until the prediction changes.

    Let :math:`f_k` be the lead of class k over the label and :math:`w_k` its gradient. A step goes towards the class of
    least :math:`|f_k| / \lVert w_k \rVert`, by this distance along :math:`w_k`. With r the sum of the steps, the point
    tried is :math:`x + (1 + \text{overshoot})\,r`, clipped to [0, 1]. The walk of an image ends as soon as its
    prediction changes. An image whose prediction never changes is returned unchanged.

    Args:
        overshoot: How far to go beyond the boundary, as a share of the perturbation; at least 0.
        steps: Most steps, at least 1.
        candidates: The number of classes examined, the label included: those of the highest logits at the image. At
            least 2; a number above the model's classes means all of them.

    Raises:
        ValueError: If `targeted` is set: there is no targeted form.

    Reference: Moosavi-Dezfooli, Fawzi, Frossard, "DeepFool: a simple and accurate method to fool deep neural networks",
    CVPR 2016, algorithm 2; defaults of cleverhans.

    Differences: A step does not compute the gradient of every candidate. The first step examines the three of the
        highest logits, and the others only if one could be nearer with a gradient 3 times as long. Later steps examine
        the two nearest classes, or one if the second was 1.1 times as far. So a class of low logit is missed if its
        gradient is more than 3 times as long. On the benchmark's networks the mean L2 equals foolbox's to 2e-3.
    """

    norm_family = "l2"
    overshoot: float = 0.02
    steps: int = 50
    candidates: int = 10

    def __post_init__(self) -> None:
        untargeted(self)
        at_least(0, overshoot=self.overshoot)
        at_least(1, steps=self.steps)
        at_least(2, candidates=self.candidates)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        walk = _Walker(problem, self.candidates)
        for _ in range(self.steps):
            walk.step()
            walk.move(1 + self.overshoot)
            if len(walk.left) == 0:
                return walk.points
        walk.step()  # looks at where the last step led
        walk.give_up()
        return walk.points


class _Linearised(NamedTuple):
    """The classifier linearised at n images, with r rival classes each."""

    done: Tensor  # (n,) bool
    rivals: Tensor  # (n, r) classes, those of highest logits first
    others: Tensor  # (n, s) candidates whose gradients were not taken
    gap: Tensor  # (n,) least gap to one of the others; infinite without any
    distances: Tensor  # (n, r)
    lengths: Tensor  # (n, r) of the gradients
    gradients: Tensor  # (n, r, C, H, W)


class _Walker:
    """The state of a problem's images; each has its rival classes, and leaves when it is done."""

    def __init__(self, problem: Problem, candidates: int) -> None:
        images = problem.images
        self.problem = problem
        self.candidates = candidates
        self.points = images.clone()
        self.left = Left(problem)
        self._change = torch.zeros_like(images)
        self._rivals = torch.zeros(len(images), _FOLLOWED, dtype=torch.long, device=images.device)
        self._counts = torch.zeros_like(self.left.rows)  # of rivals that an image follows; never more than before
        self._groups = {0: self.left.rows}  # those left by the most rivals that one of them follows; 0: not known yet

    def step(self) -> None:
        """Take a step with every image that is left; those that are done leave."""
        for count, group in self._groups.items():
            for rows in self.problem.batches(group):
                if len(rows):
                    done = self._first_step(rows) if count == 0 else self._later_step(rows, count)
                    self.left.leave(rows, done)
        if self.left.end_step():
            left = self.left.rows
            self._groups = {count: left[self._counts[left] == count] for count in range(1, _FOLLOWED + 1)}
        elif 0 in self._groups:
            self._groups = {_FOLLOWED: self.left.rows}

    def move(self, stretch: float) -> None:
        """Go to the sum of the steps so far, lengthened by the share `stretch`."""
        rows = self.left.rows
        moved = (self.problem.images[rows] + stretch * self._change[rows]).clamp(0, 1)
        self.points[rows] = torch.where(column(self.left.done(rows)), self.points[rows], moved)

    def give_up(self) -> None:
        """Reset the images that are not done."""
        rows = self.left.rows
        self.points[rows] = torch.where(column(self.left.done(rows)), self.points[rows], self.problem.images[rows])

    def _first_step(self, rows: Tensor) -> Tensor:
        part = self.problem[rows]
        seen = self._look(part, part.images, None, slice(0, _NEAR))
        reach = seen.gap / (_STEEPER * seen.lengths.amax(1))
        missed = (~seen.done & (reach < seen.distances.amin(1))).nonzero().squeeze(1)  # waits for a device, but once
        self._choose(rows, seen)
        if len(missed):
            far = self._look(part[missed], part.images[missed], seen.others[missed], slice(None))
            near = _Linearised(*(tensor[missed] for tensor in seen))
            joined = ("rivals", "distances", "lengths", "gradients")
            both = {name: torch.cat([getattr(near, name), getattr(far, name)], 1) for name in joined}
            self._change[rows[missed]] = 0
            self._choose(rows[missed], near._replace(**both))
        return seen.done

    def _later_step(self, rows: Tensor, count: int) -> Tensor:
        seen = self._look(self.problem[rows], self.points[rows], self._rivals[rows, :count], slice(None))
        unfollowed = torch.arange(count, device=rows.device) >= self._counts[rows, None]
        self._choose(rows, seen._replace(distances=seen.distances.masked_fill(unfollowed, torch.inf)))
        return seen.done

    def _look(self, part: Problem, points: Tensor, rivals: Tensor | None, taken: slice) -> _Linearised:
        points = points.detach().requires_grad_()
        logits = part.model(points)
        values = logits.detach()
        own = part.labels[:, None]
        if rivals is None:
            rivals = rivals_of(values, part.labels).topk(min(self.candidates, values.shape[1]) - 1, 1).indices
        all_rivals, rivals = rivals, rivals[:, taken]
        others = all_rivals[:, rivals.shape[1] :]
        leads = (logits.gather(1, rivals) - logits.gather(1, own)).sum(0)
        gradients = [torch.autograd.grad(lead, points, retain_graph=True)[0] for lead in leads]
        stacked = torch.stack([part.within_region(gradient) for gradient in gradients], 1).contiguous()
        lengths = torch.linalg.vector_norm(stacked.flatten(2), dim=2) + _TINY
        gaps = (values.gather(1, all_rivals) - values.gather(1, own)).abs()
        gap = torch.cat([gaps[:, rivals.shape[1] :], torch.full_like(gaps[:, :1], torch.inf)], 1).amin(1)
        return _Linearised(
            done=fooled(values, part.labels),
            rivals=rivals,
            others=others,
            gap=gap,
            distances=gaps[:, : rivals.shape[1]] / lengths,
            lengths=lengths,
            gradients=stacked,
        )

    def _choose(self, rows: Tensor, seen: _Linearised) -> None:
        """Step towards the nearest rival class, and keep those that later steps examine."""
        distances, order = seen.distances.sort(1)
        places = torch.arange(len(rows), device=rows.device)
        gradient = seen.gradients[places, order[:, 0]]
        length = seen.lengths[places, order[:, 0]]
        self._change[rows] += column((distances[:, 0] + _STABLE) / length) * gradient
        kept = min(_FOLLOWED, order.shape[1])
        self._rivals[rows, :kept] = seen.rivals.gather(1, order[:, :kept])
        self._counts[rows] = (distances[:, :kept] <= _SPREAD * distances[:, :1]).sum(1)
