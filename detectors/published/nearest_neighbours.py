"""Deep k-nearest neighbours: whether the neighbours in each layer have the predicted label (Papernot & McDaniel)."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from attacks.checks import above_zero, at_least, below, one_of
from attacks.errors import InputError
from detectors.published.features import Features, pooled_layers
from detectors.published.fitted import Clean, FittedDetector, empty_buffers, fixed_order, more_than
from saliency.checkpoints import Portable

Label = Literal["classifier", "neighbours"]


class DeepNearestNeighbours(FittedDetector):
    r"""Minus the credibility of the predicted label: low if unusually many neighbours have another label.

    The nonconformity of a label j counts, over layers, the images of other classes among the k nearest clean images.
    The credibility is its p-value among the nonconformities of held-out clean images, each for its own label:

    .. math:: \alpha(x, j) = \sum_l |\{i \in N_l(x) : y_i \ne j\}|, \quad
              p_j(x) = |\{\alpha \in A : \alpha \ge \alpha(x, j)\}| / |A|

    Neighbours are nearest by cosine, of features less the mean of the clean images.

    Two things differ from the paper. There the label is predicted by the neighbours (`label: neighbours`); here it is
    the classifier's, since the classifier stays the system's output. The search is exact, in place of
    locality-sensitive hashing.

    The score is piecewise constant. `surrogates` has a differentiable one for attacks, `soft_votes`: the nonconformity
    with a sigmoid in place of the membership in the k nearest.

    Published attacks: Sitawarin & Wagner (2019) break it by gradient descent on a differentiable loss in place of the
    counts.

    Args:
        classifier: The attacked classifier.
        layers: Its layers; None: its pooling layers and the penultimate one; the paper takes all.
        neighbours: k; 75 of 60,000 images in the paper.
        held_out: Share of the clean images on which the nonconformity is calibrated, in (0, 1).
        points: At most so many clean images are neighbours, drawn from the others.
        label: Whose label is judged: the classifier's, or the one of the highest credibility.
        softness: Width of the sigmoid, in parts of the typical gap between the nearest and the k-th neighbour's cosine.
        pool: Whether feature maps are averaged over their places; the paper flattens them.

    Raises:
        ValueError: If a layer does not exist, or there are too few images.

    Reference:
        Papernot & McDaniel, "Deep k-Nearest Neighbors: Towards Confident, Interpretable and Robust Deep Learning",
        arXiv 1803.04765, algorithm 1. Broken in Sitawarin & Wagner, "On the Robustness of Deep K-Nearest Neighbors",
        arXiv 1903.08333.
    """

    labels: Tensor
    calibrated: Tensor

    def __init__(
        self,
        classifier: Portable,
        layers: Sequence[str] | None = None,
        neighbours: int = 20,
        held_out: float = 0.2,
        points: int = 10_000,
        label: Label = "classifier",
        softness: float = 1.0,
        pool: bool = True,  # noqa: FBT001, FBT002 - a plain value of the pipeline file
    ) -> None:
        super().__init__(classifier, pooled_layers(classifier) if layers is None else layers, pool=pool)
        at_least(1, neighbours=neighbours)
        at_least(neighbours + 1, points=points)
        above_zero(held_out=held_out, softness=softness)
        below(1, held_out=held_out)
        one_of(get_args(Label), label=label)
        self.neighbours = neighbours
        self.held_out = held_out
        self.points = points
        self.label = label
        self.softness = softness
        empty_buffers(self, "labels", "calibrated")
        for place in range(len(self.layers)):
            empty_buffers(self, f"centre_{place}", f"points_{place}", f"width_{place}")

    def fit(self, clean: Clean) -> None:
        """Fit to clean images; those held out are no neighbours."""
        outputs = self.gathered(clean)
        rows = fixed_order(len(outputs.logits))
        count = round(self.held_out * len(rows))
        held, others = rows[:count], rows[count:]
        more_than(self.neighbours, len(others))
        if not count:
            msg = f"held_out={self.held_out} of {len(rows)} clean images are none: give more images, or raise held_out"
            raise InputError(msg)
        others = others[: self.points]
        for place, layer in enumerate(outputs.layers):
            centre = layer[others].mean(0)
            points = functional.normalize(layer[others] - centre)
            nearest = _cosines(layer[held], centre, points).topk(self.neighbours).values
            width = (nearest[:, 0] - nearest[:, -1]).median().clamp(min=1e-6)
            self.keep(**{f"centre_{place}": centre, f"points_{place}": points, f"width_{place}": width})
        votes = functional.one_hot(outputs.labels[others], outputs.logits.shape[1]).float()
        self.keep(labels=votes)
        seen = Features(
            outputs.logits[held].to(votes.device), [layer[held].to(votes.device) for layer in outputs.layers]
        )
        own = outputs.labels[held].to(self.labels.device)
        self.keep(calibrated=self.nonconformity(seen).gather(1, own[:, None]).squeeze(1).sort().values)

    def score(self, seen: Features) -> Tensor:
        """Return scores (N,) in [-1, 0]: minus the credibility."""
        nonconformity = self.nonconformity(seen)
        alpha = nonconformity.gather(1, self._judged(seen, nonconformity)).squeeze(1)
        smaller = torch.searchsorted(self.calibrated, alpha)
        return smaller / len(self.calibrated) - 1

    def surrogates(self, images: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return logits, scores, and as `soft_votes` the differentiable nonconformity of the judged label."""
        self.require_fitted()
        seen = self.seen(images)
        soft = self.soft_votes(seen).gather(1, self._judged(seen, self.nonconformity(seen)))
        return seen.logits, self.score(seen), {"soft_votes": soft.squeeze(1)}

    @torch.no_grad()
    def nonconformity(self, seen: Features) -> Tensor:
        """Return for each class the number of neighbours (N, K), over all layers, that are of another class."""
        nearest = [cosines.topk(self.neighbours).indices for cosines in self._all_cosines(seen)]
        return sum(self.neighbours - self.labels[rows].sum(1) for rows in nearest)  # type: ignore[return-value]

    def soft_votes(self, seen: Features) -> Tensor:
        """Return the nonconformity (N, K) with a sigmoid over cosines in place of the membership in the k nearest."""
        votes = [
            self._soft_members(cosines, getattr(self, f"width_{place}")) @ (1 - self.labels)
            for place, cosines in enumerate(self._all_cosines(seen))
        ]
        return torch.stack(votes).sum(0)

    def _soft_members(self, cosines: Tensor, width: Tensor) -> Tensor:
        """Return the soft membership (N, M), in [0, 1], of each clean image in the k nearest."""
        border = cosines.topk(self.neighbours + 1).values[:, -2:].mean(1, keepdim=True)
        return ((cosines - border) / (self.softness * width)).sigmoid()

    def _all_cosines(self, seen: Features) -> list[Tensor]:
        kept = [
            (getattr(self, f"centre_{place}"), getattr(self, f"points_{place}")) for place in range(len(self.layers))
        ]
        return [_cosines(layer, *each) for layer, each in zip(seen.layers, kept, strict=True)]

    def _judged(self, seen: Features, nonconformity: Tensor) -> Tensor:
        """Return the labels (N, 1) whose credibility counts."""
        of_neighbours = self.label == "neighbours"
        return (nonconformity.argmin(1) if of_neighbours else seen.logits.argmax(1))[:, None]


def _cosines(values: Tensor, centre: Tensor, points: Tensor) -> Tensor:
    """Return cosines (N, M) of values (N, d), less the centre (d,), with points (M, d) of length 1."""
    return functional.normalize(values - centre) @ points.T
