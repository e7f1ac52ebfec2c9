"""The attacks that every test of the contract runs; a new attack adds one entry."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from attacks import (
    APGD,
    BIM,
    DDN,
    FGSM,
    FMN,
    JSMA,
    MIM,
    PGD,
    Advertorch,
    CarliniWagnerL2,
    DeepFool,
    GreedyL0,
    HopSkipJump,
    LocalizedBIM,
    OneOf,
    Quantised,
    Square,
    WarmCarliniWagnerL2,
    norms,
)

EPSILON = 0.1
_STEPS = {"epsilon": EPSILON, "step_size": 0.03, "steps": 6}
_ADVERTORCH_PGD = {"eps": EPSILON, "eps_iter": 0.03, "nb_iter": 6}
_PGD = {**_STEPS, "restarts": 2}
_DESCENT = {"search_steps": 2, "steps": 10, "learning_rate": 0.2, "initial_constant": 1.0}

# Attacks that stay in a ball and return their last point, whether it fools or not
_BUDGET = {
    "FGSM": FGSM(epsilon=EPSILON),
    "BIM": BIM(**_STEPS),
    "MIM": MIM(**_STEPS),
    "PGD": PGD(**_PGD),
    "PGD-from-image": PGD(**_STEPS, random_start=False),
    "PGD-L2": PGD(epsilon=1.0, step_size=0.2, steps=6, norm="l2"),
    "APGD": APGD(epsilon=EPSILON, steps=6),
    "APGD-DLR": APGD(epsilon=EPSILON, steps=5, loss="dlr", targets=2),
    "Square": Square(epsilon=0.5, queries=40, on_system=False),
    "Square-L2": Square(epsilon=5.0, queries=40, norm="l2", on_system=False),
    "APGD-L2": APGD(epsilon=1.0, steps=6, norm="l2", loss="dlr"),
}
# Attacks that go as far as they must, and give failures back as they were
_MINIMAL = {
    "DeepFool": DeepFool(),
    "CarliniWagnerL2": CarliniWagnerL2(**_DESCENT),
    "WarmCarliniWagnerL2": WarmCarliniWagnerL2(steps=10),
    "WarmCarliniWagnerL2-from-image": WarmCarliniWagnerL2(steps=2, start="image", overshoot=0.2),
    "DDN": DDN(steps=16, gamma=0.1),
    "HopSkipJump": HopSkipJump(queries=100, evaluations=20),
    **{f"FMN-{norm}": FMN(norm=norm, steps=16) for norm in norms.LENGTHS},
    "JSMA": JSMA(gamma=0.3),
    "JSMA-down": JSMA(theta=-1.0, gamma=0.3),
    "GreedyL0": GreedyL0(),
    "LocalizedBIM": LocalizedBIM(step_size=0.05, steps=20, probability=0.76),  # of four classes: surely another one
    "Quantised": Quantised(),
    "Quantised-coarse": Quantised(attack=DDN(steps=16, gamma=0.1), levels=16),
}
_ADVERTORCH = {
    "Advertorch-PGD": Advertorch(attack="LinfPGDAttack", parameters={**_ADVERTORCH_PGD, "rand_init": False}),
    "Advertorch-random-PGD": Advertorch(attack="LinfPGDAttack", parameters=_ADVERTORCH_PGD),
}


def targeted(attack):
    """The attack, and the one that it runs, targeted."""
    inner = {"attack": targeted(attack.attack)} if isinstance(attack, Quantised) else {}
    return replace(attack, **inner, targeted=True)


def _targeted(cases):
    """The attacks that have a targeted form that gets there, in it."""
    forms = {name: attack for name, attack in cases.items() if name not in {"DeepFool", "Quantised", "HopSkipJump"}}
    made = {f"{name}-targeted": targeted(attack) for name, attack in forms.items()}
    if "LocalizedBIM" in forms:  # more than half: surely the prediction
        made["LocalizedBIM-targeted"] = replace(made["LocalizedBIM-targeted"], probability=0.51)
    return made


# Attacks made of others, whose own goal says whether they are targeted
COMPOSED = {"OneOf": OneOf(attacks=(_MINIMAL["DeepFool"], _MINIMAL["LocalizedBIM"]))}

TARGETED = _targeted(_BUDGET | _MINIMAL | _ADVERTORCH)
UNTARGETED = _BUDGET | _MINIMAL | _ADVERTORCH | COMPOSED
ALL = UNTARGETED | TARGETED
# Where a targeted form takes no way of its own, one of each family stands for all
_FAMILIES = ("PGD", "APGD-DLR", "CarliniWagnerL2", "FMN-l2", "JSMA", "LocalizedBIM", "Advertorch-PGD")
FORMS = UNTARGETED | {f"{name}-targeted": TARGETED[f"{name}-targeted"] for name in _FAMILIES}
BUDGET = _BUDGET | _targeted(_BUDGET)
MINIMAL = _MINIMAL | _targeted(_MINIMAL)
OURS = BUDGET | MINIMAL
# advertorch draws the random start of a whole batch at once, as its adapter says
APART = OURS | COMPOSED | {"Advertorch-PGD": UNTARGETED["Advertorch-PGD"]}
# Forward passes and backward passes per image, where every image takes the same number
PASSES = {"FGSM": 1} | dict.fromkeys(("BIM", "MIM", "PGD-from-image", "PGD-L2", "Advertorch-PGD"), _STEPS["steps"])
PASSES |= {f"{name}-targeted": passes for name, passes in PASSES.items()}


def each(cases):
    """Parametrise a test by the attacks of a dict; a variant of one that is there too, as PGD-L2 of PGD, is slow."""

    def case(name, attack):
        base, _, variant = name.partition("-")
        return pytest.param(attack, id=name, marks=pytest.mark.slow if variant and base in cases else ())

    return pytest.mark.parametrize("attack", [case(name, attack) for name, attack in cases.items()])


def linear_model(shape, classes, dtype=torch.float32):
    """A linear classifier of images of a shape (C, H, W)."""
    return nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(shape).numel(), classes)).to(dtype)


def goals(attack, model, images):
    """Labels that no image has reached yet: the model's predictions, or the class after if the attack is targeted."""
    with torch.no_grad():
        logits = copy.deepcopy(model).eval()(images)
    return (logits.argmax(1) + attack.targeted) % logits.shape[1]


def measure(attack):
    """The norm that a budget attack keeps to, and its budget."""
    epsilon = attack.parameters["eps"] if isinstance(attack, Advertorch) else attack.epsilon
    return norms.l2 if getattr(attack, "norm", "linf") == "l2" else norms.linf, epsilon


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
