"""The gradient-free control: a random search over squares, which no masked gradient misleads."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.base import Attack, MostPasses
from attacks.checks import above_zero, at_least, at_most, lengths
from attacks.problem import Problem, drawn
from attacks.white_box.walk import Kept

_HALVED_AT = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
"""After which parts of the queries the squares' share of the image is halved."""


@dataclass(frozen=True, kw_only=True)
class Square(Attack):
    r"""Random search on model and detector together: squares of pixels go to the ball's corners, worse ones are undone.

    It begins with vertical stripes, each :math:`\pm\epsilon` in each channel. A query sets a square at a random place
    to :math:`x \pm \epsilon`, one sign per channel, and the point is the next one unless it is worse: misclassified is
    better than not; among misclassified points the lower score, among others the nearer to being misclassified. Equally
    good points are taken, so that a detector of few scores is crossed. Kept is the best point, the image included. No
    gradient is asked for.

    Args:
        epsilon: L-inf budget, in [0, 1].
        queries: Passes of each image, at least 2: the image, the stripes, then squares.
        share: The squares' share of the image at first, in (0, 1]; halved nine times on the way.

    Reference: Andriushchenko et al., "Square Attack: a query-efficient black-box adversarial attack via random search",
    arXiv 1912.00049, algorithms 1 and 2, section 3.3; the share and its schedule are those of AutoAttack, arXiv
    2003.01690, stretched to the number of queries.
    """

    needs_detector = True
    norm_family = "linf"
    epsilon: float = 0.3
    queries: int = 1000
    share: float = 0.8

    def __post_init__(self) -> None:
        lengths("linf", epsilon=self.epsilon)
        at_least(2, queries=self.queries)
        above_zero(share=self.share)
        at_most(1, share=self.share)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        return torch.cat([self._search(part) for part in problem.chunks()])

    def most_passes(self, classes: int) -> MostPasses:  # noqa: ARG002 - the interface
        """Return the most passes for an image; see `Attack.most_passes`."""
        return MostPasses(self.queries, 0)

    @torch.no_grad()
    def _search(self, problem: Problem) -> Tensor:
        images = problem.images
        best = Kept(problem, targeted=self.targeted)
        walk = Kept(problem, targeted=self.targeted, ties=True)
        best.offer(images, *problem.joint(images))
        for chosen, signs in self._squares(problem):
            change = problem.within_region(self.epsilon * signs.to(images))
            corners = (images + change).clamp(0, 1)
            points = torch.where(chosen, corners, walk.points)
            logits, scores = problem.joint(points)
            walk.offer(points, logits, scores)
            best.offer(points, logits, scores)
        return best.points

    def _squares(self, problem: Problem) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield which pixels to set, broadcasting to (N, 1, H, W), and the signs to set them to, to (N, C, H, W)."""
        images = problem.images
        channels, height, width = images.shape[1:]
        generators = problem.generators()  # the numbers of all queries at once: one loop over the images
        stripes = drawn(generators, channels, 1, width, dtype=torch.float64).to(images.device)
        numbers = drawn(generators, self.queries - 2, 2 + channels, dtype=torch.float64).to(images.device)
        yield torch.ones_like(images[:, :1], dtype=torch.bool), _signs(stripes)
        for query in range(2, self.queries):
            vertical, horizontal, *signs = numbers[:, query - 2].T
            share = self.share / 2 ** bisect_left(_HALVED_AT, query / self.queries)
            side = min(max(round((share * height * width) ** 0.5), 1), height, width)
            rows, columns = _inside(vertical, side, height), _inside(horizontal, side, width)
            yield rows[:, None, :, None] & columns[:, None, None, :], _signs(torch.stack(signs, 1)[..., None, None])


def _signs(numbers: Tensor) -> Tensor:
    return torch.where(numbers < 1 / 2, -1.0, 1.0)


def _inside(places: Tensor, side: int, length: int) -> Tensor:
    """Return which of `length` pixels (N, length) a square covers, at places (N,) in [0, 1)."""
    first = (places * (length - side + 1)).floor().view(-1, 1)
    pixels = torch.arange(length, device=places.device)
    return (pixels >= first) & (pixels < first + side)
