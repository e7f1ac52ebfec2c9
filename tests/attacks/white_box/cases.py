"""The attacks on two networks that the contract runs, and detectors for them to attack."""

from dataclasses import replace

import torch
from torch import nn

from attacks import (
    BIM,
    Alternating,
    Estimation,
    Expectation,
    HingedAPGD,
    HingedPGD,
    HopSkipJump,
    Joint,
    JointDDN,
    JointFMN,
    JointLoss,
    LagrangianPGD,
    Matching,
    OrthogonalPGD,
    Quantised,
    SelectivePGD,
    Square,
    StraightThrough,
    Textured,
    Transfer,
    norms,
)
from attacks.white_box.remedy import Remedy
from tests.fixtures import CLASSES, SHAPE

_AROUND = Transfer | Quantised | Remedy
"""What runs another attack."""

EPSILON = 0.1
_WALK = {"epsilon": EPSILON, "step_size": 0.03, "steps": 5}


class Casting(nn.Module):
    """A linear model of a fixed seed that takes images of any type, so that one of them stands in for every world."""

    def __init__(self, outputs, seed):
        super().__init__()
        drawn = torch.randn(outputs, torch.Size(SHAPE).numel(), generator=torch.Generator().manual_seed(seed))
        self.weight = nn.Parameter(drawn)

    def forward(self, images):
        """Return logits (N, outputs); scores (N,) if there is only one output."""
        found = images.flatten(1) @ self.weight.to(images).T
        return found.squeeze(1) if len(self.weight) == 1 else found


def _patterns():
    """Return eight black and white images (8, *SHAPE) that networks tell apart."""
    channels, height, width = SHAPE
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    left, top = columns < width // 2, rows < height // 2
    drawn = rows < 0, rows >= 0, left, ~left, ~top, rows % 2 == 1, columns // 3 % 2 == 1, rows // 3 % 2 == 1
    return torch.stack(drawn).float()[:, None].expand(-1, channels, -1, -1).clone()


class Watcher(nn.Module):
    """A detector of image and logits that shares its classifier's pass, with parts in train mode and in eval mode."""

    straight_through = ("norm",)

    def __init__(self, classifier, classes=CLASSES, shape=SHAPE):
        super().__init__()
        self.classifier = classifier
        self.norm = nn.BatchNorm2d(shape[0]).eval()
        self.convolution = nn.Conv2d(shape[0], 3, 3)
        self.head = nn.Linear(3 * (shape[1] - 2) * (shape[2] - 2) + classes, 1)
        self.drop = nn.Dropout(0.5)
        self.convolution.requires_grad_(requires_grad=False)

    def forward(self, images):
        """Return scores (N,)."""
        return self.joint(images)[1]

    def joint(self, images):
        """Return logits (N, K) and scores (N,)."""
        logits = self.classifier(images)
        features = self.convolution(self.norm(images)).tanh().flatten(1)
        return logits, self.head(self.drop(torch.cat([features, logits], 1))).squeeze(1)

    def surrogates(self, images):
        """Return logits, scores, and the head's hidden opinion of the image alone."""
        logits, scores = self.joint(images)
        return logits, scores, {"features": self.convolution(images).square().mean((1, 2, 3))}


_GUIDES = _patterns()
_OTHER = {"model": Casting(CLASSES, seed=1), "detector": Casting(1, seed=2)}

_BALL = {
    "SelectivePGD": SelectivePGD(**_WALK),
    "SelectivePGD-L2": SelectivePGD(epsilon=1.0, step_size=0.3, steps=5, norm="l2"),
    "SelectivePGD-parts": SelectivePGD(**_WALK, part_weights=(0.0, 1.0)),
    "SelectivePGD-restarts": SelectivePGD(**_WALK, restarts=2),
    "SelectivePGD-goals": SelectivePGD(**_WALK, goals=2, restarts=2),
    "OrthogonalPGD": OrthogonalPGD(**_WALK),
    "OrthogonalPGD-L2": OrthogonalPGD(epsilon=1.0, step_size=0.3, steps=5, norm="l2"),
    "HingedPGD": HingedPGD(**_WALK),
    "HingedPGD-L2": HingedPGD(epsilon=1.0, step_size=0.3, steps=5, norm="l2"),
    "HingedPGD-parts": HingedPGD(**_WALK, part_weights=(0.0, 1.0), restarts=2),
    "HingedAPGD": HingedAPGD(epsilon=EPSILON, steps=5),
    "HingedAPGD-L2": HingedAPGD(epsilon=1.0, steps=5, norm="l2", restarts=2),
    "LagrangianPGD": LagrangianPGD(**_WALK, goals=2),
    "LagrangianPGD-L2": LagrangianPGD(epsilon=1.0, step_size=0.3, steps=5, norm="l2", goals=1, restarts=2),
    "Joint": Joint(**_WALK),
    "Joint-grid": Joint(**_WALK, weights=(0.2, 0.8)),
    "Joint-drawn": Joint(**_WALK, weights=None),
    "Joint-goals": Joint(**_WALK, weights=None, goals=1),
    "JointLoss": JointLoss(**_WALK, search_steps=2),
    "JointLoss-goals": JointLoss(**_WALK, search_steps=2, goals=1),
    "Square": Square(epsilon=EPSILON, queries=12),
    "Square-L2": Square(epsilon=1.0, queries=12, norm="l2"),
    "Alternating-budget": Alternating(epsilon=EPSILON),
    "Transfer": Transfer(attack=BIM(**_WALK), model=_OTHER["model"]),
    "Transfer-both": Transfer(attack=SelectivePGD(**_WALK), **_OTHER),
    "Quantised": Quantised(attack=SelectivePGD(**_WALK)),
    "Matching": Matching(**_WALK, guides=_GUIDES),
    "Matching-layer": Matching(**_WALK, guides=_GUIDES, layer="", layer_weight=0.5, matches=1),
    "Expectation": Expectation(attack=SelectivePGD(**_WALK), samples=2),
    "Expectation-parts": Expectation(attack=HingedPGD(**_WALK, part_weights=(1.0,)), samples=2),
    "StraightThrough": StraightThrough(attack=HingedPGD(**_WALK)),
    "Textured": Textured(attack=HingedPGD(**_WALK)),
    "Estimation": Estimation(attack=SelectivePGD(**_WALK), samples=3),
    "Estimation-parts": Estimation(attack=HingedPGD(**_WALK, part_weights=(1.0,)), samples=3),
}
_FREE = {
    "Alternating": Alternating(),
    "Alternating-literal": Alternating(update="literal"),
    "JointDDN": JointDDN(steps=12, gamma=0.2),
    "HopSkipJump": HopSkipJump(queries=150, evaluations=20, on_system=True),
    "JointFMN": JointFMN(steps=12, goals=0),
    **{f"JointFMN-{norm}": JointFMN(steps=24, gamma=0.5, norm=norm, goals=1) for norm in norms.LENGTHS},
}


def targeted(attack):
    """The attack, targeted."""
    if isinstance(attack, _AROUND):
        return replace(attack, attack=targeted(attack.attack), targeted=True)
    return replace(attack, targeted=True)


_HINGED = ("HingedPGD", "HingedAPGD")
_WALKS = ("SelectivePGD", "OrthogonalPGD", *_HINGED, "LagrangianPGD", "Joint", "JointLoss", "Matching")
_PLAIN = (*_WALKS, "Square", "Square-L2", "Alternating", "JointDDN", "JointFMN", "JointFMN-l0")
_COMPOSED = ("Transfer-both", "Quantised", "Expectation", "StraightThrough", "Textured", "Estimation")

UNTARGETED = _BALL | _FREE
TARGETED = {f"{name}-targeted": targeted(UNTARGETED[name]) for name in (*_PLAIN, *_COMPOSED)}
ALL = UNTARGETED | TARGETED
BALL = {name: attack for name, attack in ALL.items() if name.removesuffix("-targeted") in _BALL}
# Attacks that give back the best point that they met, the image included
_NOT_BEST = ("Alternating", "Transfer", "JointDDN", "JointFMN", "HopSkipJump")
BEST = {name: attack for name, attack in ALL.items() if not name.startswith(_NOT_BEST)}
# Those that change images of the untrained networks; HopSkipJump finds no image of another class there to start from
MOVING = {name: attack for name, attack in ALL.items() if name != "HopSkipJump"}
RANDOM = {name: ALL[name] for name in ("Joint-drawn", "Joint-goals", "Square", "Square-L2", "Estimation")}
# Those that say beforehand what they cost at most
PRICED = {name: attack for name, attack in ALL.items() if attack.most_passes(CLASSES) is not None}


def without_budget(attack):
    """The attack with epsilon 0."""
    if isinstance(attack, _AROUND):
        return replace(attack, attack=without_budget(attack.attack))
    return replace(attack, epsilon=0.0)


def ball_of(attack):
    """The norm that an attack keeps to, and its budget."""
    inner = attack.attack if isinstance(attack, _AROUND) else attack
    return getattr(inner, "norm", "linf"), inner.epsilon


class FailingDetector(nn.Module):
    """A detector that raises when it is asked."""

    def __init__(self, detector):
        super().__init__()
        self.detector = detector

    def forward(self, images):  # noqa: ARG002 - it does not get that far
        """Raise as a full memory does."""
        msg = "out of memory"
        raise RuntimeError(msg)
