"""A gradient for detectors that have none: estimated from scores of neighbouring images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from attacks.base import MostPasses
from attacks.checks import above_zero, at_least, at_most
from attacks.errors import InputError
from attacks.norms import column
from attacks.problem import Problem, View, drawn
from attacks.white_box.remedy import Remedy


@dataclass(frozen=True, kw_only=True)
class Estimation(Remedy):
    r"""Attack a detector whose score has no useful gradient along one estimated from its values.

    The estimate is :math:`\frac{1}{n} \sum_i \frac{s(x + \sigma u_i) - s(x - \sigma u_i)}{2 \sigma} u_i`, the gradient
    of the score smoothed by noise of standard deviation :math:`\sigma`; u are normal. The 2n images are cut to [0, 1],
    and u is what is left of it. It serves scores that are computed in numpy, rounded, cut, saturated or few. Where all
    pairs of an image have equal scores, as on a wide plateau, :math:`\sigma` doubles for its next step, to 1 at most.
    The classifier keeps its own gradient, and so do the parts that the detector names.

    Only images whose score a step goes against cost an estimate: 2n passes forward, counted, and none backward. Scores
    and logits are asked for apart, which costs one more. What is drawn for an image does not depend on its neighbours.

    Args:
        samples: n, pairs of an estimate, at least 1.
        sigma: Standard deviation of the noise at first, in pixel values, in (0, 1].

    Raises:
        ValueError: If the attack knows no detector.

    Reference: Ilyas et al., "Black-box Adversarial Attacks with Limited Queries and Information", arXiv 1804.08598,
    section 2.1, natural evolution strategies with pairs of opposite signs; the doubling is this project's.
    """

    samples: int = 32
    sigma: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.needs_detector:
            msg = f"Estimation is about a detector's score, and {type(self.attack).__name__} attacks no detector"
            raise InputError(msg)
        at_least(1, samples=self.samples)
        above_zero(sigma=self.sigma)
        at_most(1, sigma=self.sigma)

    def most_passes(self, classes: int) -> MostPasses | None:
        """Return the most passes for an image; see `Attack.most_passes`."""
        most = self.attack.most_passes(classes)
        return most and MostPasses(2 * most.forward + 2 * self.samples * most.backward, most.backward)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        images = problem.images
        noise = _Noise(problem.generators(), images.new_full((len(images),), self.sigma), self.samples)
        view = _Estimating(problem.model, noise, torch.arange(len(images), device=images.device))
        return self.attack.perturb(replace(problem, model=view))


class _Noise(NamedTuple):
    """A generator and sigma (N,) of each image of a call, and the number of pairs."""

    generators: Sequence[Generator]
    sigma: Tensor
    pairs: int


class _Estimating(View):
    """The networks with an estimated gradient of the score; `rows` (n,) are its images' places in the call."""

    def __init__(self, model: nn.Module, noise: _Noise, rows: Tensor) -> None:
        super().__init__(model)
        self._noise = noise
        self._rows = rows

    def select(self, rows: Any) -> "_Estimating":
        return _Estimating(self.of_model(rows), self._noise, self._rows[rows])

    def joint(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if not (images.requires_grad and torch.is_grad_enabled()):
            return super().joint(images)  # type: ignore[no-any-return]
        return self(images), _Score.apply(images, self._scores(images), self)

    def surrogates(self, images: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        logits, scores, parts = super().surrogates(images)
        if images.requires_grad and torch.is_grad_enabled():
            scores = _Score.apply(images, scores.detach(), self)
        return logits, scores, parts

    @torch.no_grad()
    def _scores(self, images: Tensor) -> Tensor:
        scores: Tensor = super().joint(images.detach())[1]
        return scores

    @torch.no_grad()
    def gradient(self, images: Tensor) -> Tensor:
        """Return an estimate (n, C, H, W) for all images of this view."""
        sigma = column(self._noise.sigma[self._rows])
        directions = self._drawn(images)
        total, differs = torch.zeros_like(images), torch.zeros_like(self._rows, dtype=torch.bool)
        for direction in directions.unbind(1):
            ahead, behind = ((images + sign * sigma * direction).clamp(0, 1) for sign in (1, -1))
            change = (self._scores(ahead) - self._scores(behind)).nan_to_num(0, 0, 0)
            total += column(change) * (ahead - behind)
            differs |= change != 0
        self._noise.sigma[self._rows] = torch.where(differs, 1, 2) * sigma.flatten()
        self._noise.sigma.clamp_(max=1)
        return total / (4 * sigma.square() * self._noise.pairs)

    def _drawn(self, images: Tensor) -> Tensor:
        """Return normal numbers (n, pairs, C, H, W)."""
        generators = [self._noise.generators[row] for row in self._rows.tolist()]
        shape = self._noise.pairs, *images.shape[1:]
        return drawn(generators, *shape, dtype=images.dtype, draw=torch.randn).to(images.device)


class _Score(torch.autograd.Function):
    """The score (N,) forward; backward an estimate, for images whose score counts."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, scores: Tensor, view: _Estimating) -> Tensor:
        ctx.save_for_backward(images)
        ctx.view = view
        return scores.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (images,), (gradient,) = ctx.saved_tensors, gradients
        asked = gradient.nonzero().flatten()
        result = torch.zeros_like(images)
        if len(asked):
            result[asked] = column(gradient[asked]) * ctx.view.select(asked).gradient(images[asked])
        return result, None, None
