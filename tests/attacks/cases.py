"""The attacks that every test of the contract runs; a new attack adds one entry."""

import pytest
import torch
from torch import nn

from attacks import BIM, FGSM, MIM, Advertorch

EPSILON = 0.1
_STEPS = {"epsilon": EPSILON, "step_size": 0.03, "steps": 10}
_PGD = {"eps": EPSILON, "eps_iter": 0.03, "nb_iter": 10}

UNTARGETED = {
    "FGSM": FGSM(epsilon=EPSILON),
    "BIM": BIM(**_STEPS),
    "MIM": MIM(**_STEPS),
    "Advertorch-PGD": Advertorch(attack="LinfPGDAttack", parameters={**_PGD, "rand_init": False}),
    "Advertorch-random-PGD": Advertorch(attack="LinfPGDAttack", parameters=_PGD),
}
TARGETED = {
    "FGSM-targeted": FGSM(epsilon=EPSILON, targeted=True),
    "BIM-targeted": BIM(**_STEPS, targeted=True),
    "MIM-targeted": MIM(**_STEPS, targeted=True),
    "Advertorch-PGD-targeted": Advertorch(attack="LinfPGDAttack", parameters=_PGD, targeted=True),
}
ALL = UNTARGETED | TARGETED
OURS = {name: attack for name, attack in ALL.items() if not isinstance(attack, Advertorch)}
# advertorch draws the random start of a whole batch at once, as its adapter says
APART = OURS | {"Advertorch-PGD": UNTARGETED["Advertorch-PGD"]}
PASSES = {name: 1 if name.startswith("FGSM") else 10 for name in ALL}


def each(cases):
    """Parametrise a test by the attacks of a dict."""
    return pytest.mark.parametrize("attack", [pytest.param(attack, id=name) for name, attack in cases.items()])


def linear_model(shape, classes, dtype=torch.float32):
    """A linear classifier of images of a shape (C, H, W)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(shape).numel(), classes)).to(dtype)


class Failing(nn.Module):
    """Wraps a model: its first calls work, then it raises."""

    def __init__(self, model, working_calls):
        super().__init__()
        self.model = model
        self.left = working_calls

    def forward(self, images):
        """Return the model's logits, until the calls are used up."""
        if self.left == 0:
            msg = "out of memory"
            raise RuntimeError(msg)
        self.left -= 1
        return self.model(images)
