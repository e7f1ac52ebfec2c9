"""Images made on another classifier and detector, as an attacker has to who cannot look at these."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attacks.base import Attack, MostPasses
from attacks.checks import alike
from attacks.errors import InputError
from attacks.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Transfer(Attack):
    """Another attack, run on another classifier and detector: those of another seed, or a guess at them.

    Labels are the attacked model's: without any, its own predictions. With some, it is asked about one image, which is
    not counted, to see whether it has them. It is not asked for anything else, and the attacked detector for nothing.

    Args:
        attack: What makes the images; targeted or untargeted as this one.
        model: The classifier that they are made on; gives logits (N, K), of the same classes.
        detector: The detector that they are made on; only for attacks with `needs_detector`.
    """

    attack: Attack
    model: nn.Module
    detector: nn.Module | None = None

    def __post_init__(self) -> None:
        if self.attack.needs_detector and self.detector is None:
            name = type(self.attack).__name__
            msg = f"Transfer of {name} needs the detector to make the images on: pass detector=..."
            raise InputError(msg)
        alike(self, self.attack)
        object.__setattr__(self, "norm_family", self.attack.norm_family)

    def most_passes(self, classes: int) -> MostPasses | None:
        """Return the most passes for an image, through the other networks; see `Attack.most_passes`."""
        return self.attack.most_passes(classes)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        return self.attack(
            self.model,
            problem.images,
            problem.labels,
            detector=self.detector,
            region=problem.region,
            generator=torch.Generator().manual_seed(problem.seed),
        )
