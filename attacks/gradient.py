"""Attacks that take signed gradient steps inside an L-inf ball: one loop, three plans."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from attacks.base import Attack, Problem
from attacks.norms import project_linf


class _Plan(NamedTuple):
    """How a signed-gradient attack walks."""

    step_size: float
    steps: int = 1
    decay: float | None = None  # None: no momentum


@dataclass(frozen=True, kw_only=True)
class _SignedSteps(Attack):
    """The loop; a subclass says how it walks."""

    epsilon: float = 0.3

    def __post_init__(self) -> None:
        plan = self._plan()
        if plan.steps < 1:
            msg = f"steps must be at least 1, got {plan.steps}"
            raise ValueError(msg)
        for name, value in {"epsilon": self.epsilon, "step_size": plan.step_size, "decay": plan.decay or 0}.items():
            if not 0 <= value < float("inf"):
                msg = f"{name} must be finite and at least 0, got {value}"
                raise ValueError(msg)

    @abstractmethod
    def _plan(self) -> _Plan:
        """Return step size, number of steps and decay."""

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        step_size, steps, decay = self._plan()
        adversarial = problem.images
        momentum = torch.zeros_like(adversarial)
        for _ in range(steps):
            direction = self._ascent(problem, adversarial)
            if decay is not None:
                mean = direction.abs().mean((1, 2, 3), keepdim=True)
                momentum = decay * momentum + torch.where(mean > 0, direction / mean, 0)
                direction = momentum
            if problem.region is not None:
                direction = direction * problem.region
            adversarial = project_linf(adversarial + step_size * direction.sign(), problem.images, self.epsilon)
        return adversarial

    def _ascent(self, problem: Problem, adversarial: Tensor) -> Tensor:
        """Return the gradient of the cross entropy (minus it, if targeted); summed, so that images stay apart."""
        images = adversarial.detach().requires_grad_()
        loss = functional.cross_entropy(problem.model(images), problem.labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, images)
        return -gradient if self.targeted else gradient


@dataclass(frozen=True, kw_only=True)
class FGSM(_SignedSteps):
    r"""Fast gradient sign method: one step :math:`x + \epsilon\,\mathrm{sign}(\nabla_x L)`.

    Args:
        epsilon: L-inf budget, at least 0; the default .3 is cleverhans', for MNIST.
        targeted: Whether labels are targets to reach.

    Raises:
        ValueError: If epsilon is negative or not finite.

    Reference:
        Goodfellow, Shlens, Szegedy, "Explaining and Harnessing Adversarial Examples", arXiv 1412.6572, section 4.
    """

    def _plan(self) -> _Plan:
        return _Plan(self.epsilon)


@dataclass(frozen=True, kw_only=True)
class BIM(_SignedSteps):
    """Basic iterative method: signed steps from the image itself, each clipped to the ball; labels stay fixed.

    Args:
        epsilon: L-inf budget, at least 0; the default .3 is cleverhans', for MNIST.
        step_size: L-inf length of a step, at least 0.
        steps: Number of steps, at least 1.
        targeted: Whether labels are targets to reach.

    Raises:
        ValueError: If a number is out of its range.

    Reference:
        Kurakin, Goodfellow, Bengio, "Adversarial examples in the physical world", arXiv 1607.02533, section 2.2.
    """

    step_size: float = 0.05
    steps: int = 10

    def _plan(self) -> _Plan:
        return _Plan(self.step_size, self.steps)


@dataclass(frozen=True, kw_only=True)
class MIM(_SignedSteps):
    r"""Momentum iterative method: signed steps along :math:`g \leftarrow \mu g + \nabla L / \overline{|\nabla L|}`.

    Args:
        epsilon: L-inf budget, at least 0; the default .3 is cleverhans', for MNIST.
        step_size: L-inf length of a step, at least 0.
        steps: Number of steps, at least 1.
        decay: Weight of the past gradients, at least 0.
        targeted: Whether labels are targets to reach.

    Raises:
        ValueError: If a number is out of its range.

    Reference:
        Dong et al., "Boosting Adversarial Attacks with Momentum", arXiv 1710.06081, algorithm 1. The gradient is
        divided by its mean absolute value, as in cleverhans; the paper's L1 norm gives the same signs.
    """

    step_size: float = 0.06
    steps: int = 10
    decay: float = 1.0

    def _plan(self) -> _Plan:
        return _Plan(self.step_size, self.steps, self.decay)
