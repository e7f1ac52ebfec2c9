"""Attacks that ascend the cross entropy inside a ball."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from attacks.base import Attack
from attacks.checks import at_least, lengths, one_of
from attacks.margin import reached
from attacks.norms import NORMS, Ball, levelled
from attacks.problem import Problem


class _Steps(NamedTuple):
    """The hyper-parameters of a walk."""

    size: float
    number: int = 1
    decay: float | None = None  # None: no momentum
    norm: str = "linf"


@dataclass(frozen=True, kw_only=True)
class _Ascent(Attack):
    """Steps along the gradient; a subclass gives their number, length, ball and start.

    Args:
        epsilon: L-inf budget, in [0, 1]; the default .3 is cleverhans', for MNIST.
        step_size: L-inf length of a step, in [0, 1].
        steps: Number of steps, at least 1.
    """

    norm_family = "linf"
    epsilon: float = 0.3

    def __post_init__(self) -> None:
        steps = self._steps()
        at_least(1, steps=steps.number)
        at_least(0, decay=steps.decay or 0)
        lengths(steps.norm, epsilon=self.epsilon, step_size=steps.size)

    @abstractmethod
    def _steps(self) -> _Steps:
        """Return the hyper-parameters of the walk."""

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        return torch.cat([self._walk(part, part.images) for part in problem.chunks()])

    def _walk(self, problem: Problem, adversarial: Tensor) -> Tensor:
        """Return the last points (N, C, H, W) of the walks that start at the given ones."""
        steps = self._steps()
        ball = Ball(self.epsilon, steps.norm)
        momentum = torch.zeros_like(adversarial)
        for _ in range(steps.number):
            direction = problem.within_region(self._gradient(problem, adversarial))
            if steps.decay is not None:
                direction = momentum = steps.decay * momentum + levelled(direction)
            adversarial = ball.project(adversarial + steps.size * ball.direction(direction), problem.images)
        return adversarial

    def _gradient(self, problem: Problem, adversarial: Tensor) -> Tensor:
        """Return the gradient (N, C, H, W) of the summed cross entropy; of its negative if targeted."""
        images = adversarial.detach().requires_grad_()
        loss = functional.cross_entropy(problem.model(images), problem.labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, images)
        return -gradient if self.targeted else gradient


@dataclass(frozen=True, kw_only=True)
class FGSM(_Ascent):
    r"""Fast gradient sign method: one step :math:`x + \epsilon\,\mathrm{sign}(\nabla_x L)`.

    Reference: Goodfellow et al., "Explaining and Harnessing Adversarial Examples", arXiv 1412.6572, section 4.
    """

    def _steps(self) -> _Steps:
        return _Steps(self.epsilon)


@dataclass(frozen=True, kw_only=True)
class BIM(_Ascent):
    """Basic iterative method: signed steps from the image itself, each clipped to the ball; labels stay fixed.

    Reference: Kurakin, Goodfellow, Bengio, "Adversarial examples in the physical world", arXiv 1607.02533, section 2.2.
    """

    step_size: float = 0.05
    steps: int = 10

    def _steps(self) -> _Steps:
        return _Steps(self.step_size, self.steps)


@dataclass(frozen=True, kw_only=True)
class MIM(_Ascent):
    r"""Momentum iterative method: signed steps along :math:`g \leftarrow \mu g + \nabla L / \overline{|\nabla L|}`.

    The gradient is divided by its mean absolute value, as in cleverhans; the paper's L1 norm gives the same signs.
    Advertorch divides by the larger of the L1 norm and 1e-6, so that shorter gradients give other results.

    Args:
        decay: Weight of the past gradients, at least 0.

    Reference: Dong et al., "Boosting Adversarial Attacks with Momentum", arXiv 1710.06081, algorithm 1.
    """

    step_size: float = 0.06
    steps: int = 10
    decay: float = 1.0

    def _steps(self) -> _Steps:
        return _Steps(self.step_size, self.steps, self.decay)


@dataclass(frozen=True, kw_only=True)
class PGD(_Ascent):
    """Projected gradient descent: BIM from random points of the ball, in the L-inf or the L2 norm.

    An image leaves as soon as a restart has fooled the model. If none does, the point of the highest cross entropy is
    returned (targeted: of the lowest).

    Args:
        epsilon: Budget, at least 0, in the norm chosen (L-inf: at most 1); the default .3 is Madry et al.'s, for MNIST.
        step_size: Length of a step in that norm, at least 0 (L-inf: at most 1).
        restarts: Number of random starts, at least 1.
        norm: "linf" or "l2".
        random_start: Whether to start at random points (uniform in the ball). False: the first start is the image.

    Reference: Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", arXiv 1706.06083, 2.1.
    """

    step_size: float = 0.03
    steps: int = 40
    restarts: int = 1
    norm: Literal["linf", "l2"] = "linf"
    random_start: bool = True

    def __post_init__(self) -> None:
        one_of(NORMS, norm=self.norm)
        object.__setattr__(self, "norm_family", self.norm)
        at_least(1, restarts=self.restarts)
        super().__post_init__()

    def _steps(self) -> _Steps:
        return _Steps(self.step_size, self.steps, norm=self.norm)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        return torch.cat([self._restarted(part) for part in problem.chunks()])

    def _restarted(self, problem: Problem) -> Tensor:
        generators = problem.generators() if self.random_start or self.restarts > 1 else []
        best = problem.images.clone()
        highest = torch.full_like(problem.labels, -torch.inf, dtype=best.dtype)
        left = torch.arange(len(problem), device=best.device)
        for restart in range(self.restarts):
            part = problem[left]
            at_image = restart == 0 and not self.random_start
            drawing = [] if at_image else [generators[i] for i in left.tolist()]
            start = part.images if at_image else Ball(self.epsilon, self.norm).random(part, drawing)
            walked = self._walk(part, start)
            if self.restarts == 1:
                return walked
            loss, fooled = self._judged(part, walked)
            better = loss > highest[left]
            best[left[better]] = walked[better]
            best[left[fooled]] = walked[fooled]
            highest[left] = torch.maximum(loss, highest[left])
            left = left[~fooled]
            if len(left) == 0:
                break
        return best

    @torch.no_grad()
    def _judged(self, problem: Problem, adversarial: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss to raise (N,), and whether the goal is reached (N,) bool."""
        logits = problem.model(adversarial)
        loss = functional.cross_entropy(logits, problem.labels, reduction="none")
        loss = -loss if self.targeted else loss
        return loss.masked_fill(loss.isnan(), -torch.inf), reached(logits, problem.labels, targeted=self.targeted)
