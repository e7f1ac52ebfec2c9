"""Several attacks in one set: each image is attacked by one of them."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attacks.base import Attack
from attacks.checks import alike
from attacks.errors import InputError
from attacks.problem import Problem


@dataclass(frozen=True, kw_only=True)
class OneOf(Attack):
    """Each image is attacked by one of several attacks, drawn with equal chances.

    A detector trained on it has seen all of them; to leave one attack out of training, name all others. An inner
    `OneOf` draws independently.

    Args:
        attacks: The attacks drawn from, at least one. None may need a detector, and all or none must be targeted.
    """

    attacks: tuple[Attack, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "attacks", tuple(self.attacks))  # lists come from configs
        if not self.attacks:
            msg = "attacks is empty: name at least one to draw from"
            raise InputError(msg)
        for attack in self.attacks:
            if attack.needs_detector:
                name = type(attack).__name__
                msg = f"OneOf draws from attacks on the classifier alone, but {name} goes against a detector as well"
                raise InputError(msg)
            alike(self, attack)
        families = {attack.norm_family for attack in self.attacks}
        object.__setattr__(self, "norm_family", families.pop() if len(families) == 1 else None)

    def perturb(self, problem: Problem) -> Tensor:
        """Return adversarial images; see `Attack.perturb`."""
        draws = [int(torch.randint(len(self.attacks), (), generator=generator)) for generator in problem.generators()]
        drawn = torch.tensor(draws, device=problem.images.device)
        adversarial = problem.images.clone()
        for number, attack in enumerate(self.attacks):
            rows = (drawn == number).nonzero().flatten()
            if len(rows):
                part = problem[rows]
                if isinstance(attack, OneOf):  # with the same seed it would draw the same number once more
                    part = replace(part, seed=part.seed + 1)
                adversarial[rows] = attack.perturb(part).detach()
        return adversarial
