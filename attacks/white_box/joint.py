"""Attacks that go against model and detector in the same step."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from attacks.checks import above_zero, at_least
from attacks.errors import InputError
from attacks.loop import gradients_of
from attacks.margin import ahead, log_odds
from attacks.norms import column
from attacks.problem import Problem, drawn
from attacks.white_box.walk import Kept, Look, Walk


@dataclass(frozen=True, kw_only=True)
class Joint(Walk):
    r"""Metzen et al.'s mix of two directions: :math:`x + a [(1 - s)\,\mathrm{sign}(\nabla L) - s\,\mathrm{sign}(\nabla d)]`.

    L is the model's cross entropy (its sign by the log-odds, which do not vanish), d the detector's score, a the length
    of the step. Kept is the misclassified point of lowest score. Two backward passes a step. In the L2 norm the
    directions have unit length instead of signs.

    Args:
        weights: The weights s, in [0, 1]: a walk for each. None: one walk, for each image with a weight drawn from
            U[0, 1], as the dynamic adversary of the training does.

    Reference: Metzen et al., "On Detecting Adversarial Perturbations", arXiv 1702.04267, section 3.2; s = .5 is the
    main paper's reading of it.
    """  # noqa: E501 - the formula

    _gradients: ClassVar[int] = 2
    weights: tuple[float, ...] | None = (0.5,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights is not None and (not self.weights or not all(0 <= weight <= 1 for weight in self.weights)):
            msg = f"weights must lie in [0, 1], at least one, or be null for drawn ones; got {list(self.weights)}"
            raise InputError(msg)

    @property
    def _ways(self) -> int:
        return 1 if self.weights is None else len(self.weights)

    def _is_random(self) -> bool:
        return super()._is_random() or self.weights is None

    def _walks(self, problem: Problem, start: Tensor, kept: Kept, generators: list[Generator]) -> None:
        like = problem.images
        if self.weights is None:
            weights = [column(drawn(generators).to(like))]
        else:
            weights = [like.new_tensor(weight) for weight in self.weights]
        for weight in weights:
            self._walk(problem, start, kept, weight)

    def _direction(self, problem: Problem, look: Look, weight: float | Tensor) -> Tensor:
        odds = log_odds(look.logits, problem.labels)
        gradients = gradients_of([-odds if self.targeted else odds, look.suspicion], look.points)
        model, detector = (self._steepest(problem, gradient) for gradient in gradients)
        return (1 - weight) * model + weight * detector


@dataclass(frozen=True, kw_only=True)
class JointLoss(Walk):
    r"""Descent of one loss, the label's margin plus :math:`\lambda` times the score, with a search of it per image.

    As long as a walk leaves an image misclassified, its :math:`\lambda` grows tenfold, and falls tenfold otherwise;
    once both have happened, their geometric mean follows. Kept is the misclassified point of lowest score.

    Args:
        search_steps: Number of walks of a search, at least 1.
        initial_weight: The first weight, above 0.

    Reference: The weighted sum that Carlini & Wagner, arXiv 1705.07263, attack detectors with; the search is that of
    their attack of minimal norm, arXiv 1608.04644, for another weight.
    """

    search_steps: int = 5
    initial_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, search_steps=self.search_steps)
        above_zero(initial_weight=self.initial_weight)

    @property
    def _ways(self) -> int:
        return self.search_steps

    def _walks(self, problem: Problem, start: Tensor, kept: Kept, generators: list[Generator]) -> None:  # noqa: ARG002
        weight = torch.full_like(kept.value, self.initial_weight)
        low, high = torch.zeros_like(weight), torch.full_like(weight, torch.inf)
        for _ in range(self.search_steps):
            fooled = self._walk(problem, start, kept, weight)
            low, high = torch.where(fooled, weight, low), torch.where(fooled, high, weight)
            bisected = (low * high).sqrt()
            grown = torch.where(high.isinf(), weight * 10, weight / 10)
            weight = torch.where(high.isinf() | (low == 0), grown, bisected)

    def _direction(self, problem: Problem, look: Look, weight: float | Tensor) -> Tensor:
        loss = weight * look.suspicion - ahead(look.logits, problem.labels, targeted=self.targeted)
        return self._steepest(problem, gradients_of([loss], look.points)[0])
