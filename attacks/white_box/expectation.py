"""Expectation over the randomness of a defence: an attack on the mean of several passes."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from attacks.base import MostPasses
from attacks.checks import at_least
from attacks.problem import Problem, View
from attacks.white_box.randomness import seeded
from attacks.white_box.remedy import Remedy


@dataclass(frozen=True, kw_only=True)
class Expectation(Remedy):
    r"""Attack a random classifier or detector through :math:`\frac{1}{n} \sum_i f_i(x)`, n passes of one image.

    One pass of a random network gives a score, and a gradient, that the next pass does not confirm. Here logits, scores
    and the scores of the detector's parts are means of n passes; so the attack steps along the mean gradient, and keeps
    the point of the lowest mean score. Each pass draws anew. `report` asks once more, for one draw, as a user would.

    The passes are counted one by one, forward and backward, and the graphs of all n are held at once. The networks'
    generators start from the attack's seed and are put back afterwards (`attacks.white_box.randomness.seeded` says
    which ones). What a network draws for an image depends on its place in the batch, so results on random networks are
    repeatable, but not independent of the batch.

    Args:
        samples: n, at least 1; noise in the gradient falls with its square root.

    Reference: Athalye et al., "Synthesizing Robust Adversarial Examples", arXiv 1707.07397, for the expectation;
    Athalye, Carlini & Wagner, arXiv 1802.00420, section 4.2, against random defences.
    """

    samples: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, samples=self.samples)

    def most_passes(self, classes: int) -> MostPasses | None:
        """Return the most passes for an image; see `Attack.most_passes`."""
        most = self.attack.most_passes(classes)
        return most and MostPasses(self.samples * most.forward, self.samples * most.backward)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        with seeded(problem.seed, problem.images.device, problem.model):
            return self.attack.perturb(replace(problem, model=_Mean(problem.model, self.samples)))


class _Mean(View):
    """The mean of several passes, each of them drawn anew."""

    def __init__(self, model: nn.Module, samples: int) -> None:
        super().__init__(model)
        self._samples = samples

    def select(self, rows: Any) -> "_Mean":
        return _Mean(self.of_model(rows), self._samples)

    def forward(self, images: Tensor) -> Tensor:
        return _mean([super(_Mean, self).forward(images) for _ in range(self._samples)])

    def joint(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits, scores = zip(*(super(_Mean, self).joint(images) for _ in range(self._samples)), strict=True)
        return _mean(logits), _mean(scores)

    def surrogates(self, images: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        passes = (super(_Mean, self).surrogates(images) for _ in range(self._samples))
        logits, scores, parts = zip(*passes, strict=True)
        return _mean(logits), _mean(scores), {name: _mean([each[name] for each in parts]) for name in parts[0]}

    def representation_step(self, images: Tensor, step_size: float) -> Tensor:
        return _mean([super(_Mean, self).representation_step(images, step_size) for _ in range(self._samples)])


def _mean(values: Any) -> Tensor:
    return torch.stack(tuple(values)).mean(0)
