"""What the remedies against masked gradients share: another attack, run on networks that it sees otherwise."""

from dataclasses import dataclass

from torch import nn

from attacks.base import Attack
from attacks.checks import alike
from attacks.errors import InputTypeError
from attacks.guard import Guarded
from attacks.problem import Problem, View
from attacks.white_box.transfer import Transfer

_TAKEN_OVER = ("epsilon", "norm", "steps")


@dataclass(frozen=True, kw_only=True)
class Remedy(Attack):
    """Another attack, run against a defence that its gradients or its scores would mislead.

    Args:
        attack: The attack, on the classifier alone or on classifier and detector; targeted or untargeted as this one.

    Raises:
        TypeError: If `attack` is no attack, or `Transfer`, which asks other networks.

    Attributes:
        epsilon, norm, steps: Those of the attack, where it has them.
    """

    attack: Attack

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not isinstance(self.attack, Attack):
            msg = f"{name} needs an attack, got {self.attack!r}"
            raise InputTypeError(msg)
        if isinstance(self.attack, Transfer):
            msg = f"Transfer asks other networks: put {name} inside, Transfer(attack={name}(attack=...), ...)"
            raise InputTypeError(msg)
        alike(self, self.attack)
        names = ("needs_detector", "norm_family", *(each for each in _TAKEN_OVER if hasattr(self.attack, each)))
        for each in names:
            object.__setattr__(self, each, getattr(self.attack, each))


def classifier_of(problem: Problem) -> nn.Module:
    """Return the attacked classifier itself, without what guards it and counts its passes."""
    model = problem.model
    while isinstance(model, View | Guarded):
        model = model.model
    return model
