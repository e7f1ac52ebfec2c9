"""The learnt saliency model as one method among others."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from attacks.guard import evaluation_mode
from attacks.problem import Problem
from saliency.checkpoints import part
from saliency.maps.base import SaliencyMethod
from saliency.model import SaliencyModel


@dataclass(frozen=True, kw_only=True)
class Learnt(SaliencyMethod):
    """The masks of a learnt saliency model.

    Args:
        saliency: The model, or the path of its checkpoint; it goes to the device of the images that it sees.

    Reference: Dabkowski & Gal, arXiv 1705.07857.
    """

    saliency: str | SaliencyModel = field(repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "saliency", part(self.saliency, SaliencyModel))

    def attribute(self, problem: Problem) -> Tensor:
        """Return masks (N, 1, H, W) in [0, 1]; see `SaliencyMethod.attribute`."""
        saliency: SaliencyModel = self.saliency  # type: ignore[assignment]
        with evaluation_mode(saliency), torch.no_grad():
            return saliency.to(problem.images.device).masks(problem.images, problem.labels)
