"""The attacks of the white-box protocol, all within one budget in L-inf or L2 (PROTOCOL C14-C17)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from attacks import (
    Alternating,
    Attack,
    HingedAPGD,
    HingedPGD,
    HopSkipJump,
    Joint,
    LagrangianPGD,
    Matching,
    OrthogonalPGD,
    SelectivePGD,
    Square,
    Textured,
    Transfer,
)
from attacks.base import MostPasses
from attacks.checks import untargeted
from attacks.problem import Problem
from experiments.white_box.records import PAPER

Kind = Literal["paper", "gradient", "transfer", "gradient-free", "control"]
Norm = Literal["linf", "l2"]

TRANSFER: Final = "transfer"
MATCHING: Final = "matching"
NOISE: Final = "noise"

PAPER_STEPS: Final = 5

PART_WEIGHTS: Final = (0.1, 1.0, 10.0)
QUERIES_PER_STEP: Final = 10

GUIDES: Final = 100
"""Largest number of clean calibration images whose logits are matched."""

LONG_GOALS: Final = 9
LONG_STEPS: Final = 2.5
"""Steps of the long hinged walk, as a multiple of the suite's."""


@dataclass(frozen=True)
class SuiteAttack:
    """An attack of the suite.

    Attributes:
        name: Name in the rows.
        attack: The attack.
        kind: paper: as published, aimed at probability .5; the others are aimed at the false-positive rate.
        about: A short description.
    """

    name: str
    attack: Attack
    kind: Kind
    about: str


def suite(
    epsilon: float,
    steps: int,
    *,
    parts: bool,
    held: bool,
    restarts: int = 1,
    goals: int = 0,
    norm: Norm = "linf",
    targeted: bool = False,
) -> Iterator[SuiteAttack]:
    """Yield the attacks that know everything, in the order of the cascade; all of them have a targeted form.

    Args:
        epsilon: Budget of each, in the norm.
        steps: Steps of each walk.
        parts: Whether the detector names parts (`surrogates`).
        held: Whether it has the authors' step of the representation, which holds the map constant.
        restarts: Restarts of each walk that is aimed at the false-positive rate.
        goals: Nearest classes to which each such walk goes as well.
        norm: Norm of the budget; `left_out` lists the attacks that L2 excludes.
        targeted: Whether each is to reach a target class.
    """
    walk: dict[str, Any] = {"epsilon": epsilon, "steps": steps, "restarts": restarts, "goals": goals, "norm": norm}
    for member in (*_paper(epsilon, steps, held=held, norm=norm), *_aimed(walk, parts=parts)):
        inside = getattr(member.attack, "attack", None)  # of Textured
        changes = {} if inside is None else {"attack": replace(inside, targeted=targeted)}
        yield replace(member, attack=replace(member.attack, targeted=targeted, **changes))


def left_out(norm: Norm, *, targeted: bool) -> dict[str, str]:
    """Return the attacks that do not run, each with the reason as a relative clause ("which ...")."""
    in_l2 = {"the alternations": "move by signs, within L-inf only"}
    return (in_l2 if norm == "l2" else {}) | ({NOISE: "has no targeted form"} if targeted else {})


def _aimed(walk: Mapping[str, Any], *, parts: bool) -> Iterator[SuiteAttack]:
    """Yield the attacks that are aimed at the false-positive rate; of a kind the strong and cheap ones come first."""
    hinging = {**walk, "goals": max(walk["goals"], HingedPGD.goals)}
    hinged = HingedPGD(**hinging)
    lagrangian = LagrangianPGD(**{**walk, "goals": max(walk["goals"], LagrangianPGD.goals)})
    long = replace(hinged, steps=round(LONG_STEPS * hinged.steps), goals=max(walk["goals"], LONG_GOALS))
    of_parts = f"also against the detector's parts, weights {_words(PART_WEIGHTS)}"
    known: list[tuple[str, Attack, str]] = [
        ("hinged", hinged, f"one loss of two hinges, with momentum, also over the {hinged.goals} nearest classes"),
        ("hinged_textured", Textured(attack=hinged), "The hinged walk, which changes no pixel in a flat area"),
        ("hinged_parts", replace(hinged, part_weights=PART_WEIGHTS), f"The hinged walk, {of_parts}"),
        (
            "lagrangian",
            lagrangian,
            f"a walk with a multiplier, over the {lagrangian.goals} nearest classes, also from adversarial images",
        ),
        ("hinged_long", long, f"The hinged walk with {long.steps} steps, also over the {long.goals} nearest classes"),
        ("selective", SelectivePGD(**walk), "Selective PGD"),
        ("orthogonal", OrthogonalPGD(**walk), "Orthogonal PGD"),
        ("selective_parts", SelectivePGD(**walk, part_weights=PART_WEIGHTS), f"Selective PGD, {of_parts}"),
        ("orthogonal_parts", OrthogonalPGD(**walk, part_weights=PART_WEIGHTS), f"Orthogonal PGD, {of_parts}"),
        ("hinged_apgd", HingedAPGD(**hinging), "Auto-PGD on the loss of two hinges, over the same classes"),
    ]
    for name, attack, about in known:
        if parts or not name.endswith("_parts"):
            yield SuiteAttack(name, attack, "gradient", about)
    queries = max(100, QUERIES_PER_STEP * walk["steps"])
    labels = HopSkipJump(epsilon=walk["epsilon"], norm=walk["norm"], queries=queries, on_system=True)
    yield SuiteAttack("hop_skip_jump", labels, "gradient-free", f"HopSkipJump, sees labels only, {queries} queries")
    if walk["norm"] == "linf":
        epsilon, steps = walk["epsilon"], walk["steps"]
        alternating = Alternating(step_size=epsilon / (2 * PAPER_STEPS), steps=steps, epsilon=epsilon)
        about = f"the alternation with T = {steps}, aimed at the false-positive rate"
        yield SuiteAttack("alternating_aimed", alternating, "gradient", about)
    square = Square(epsilon=walk["epsilon"], norm=walk["norm"], queries=QUERIES_PER_STEP * walk["steps"])
    yield SuiteAttack("square", square, "gradient-free", f"Square attack, {square.queries} queries")


def _paper(epsilon: float, steps: int, *, held: bool, norm: Norm) -> Iterator[SuiteAttack]:
    """Yield the attacks that the paper compares, aimed at probability .5."""
    if norm == "linf":
        yield from _alternations(epsilon, steps, held=held)
    mix = Joint(epsilon=epsilon, steps=PAPER_STEPS, step_size=epsilon / PAPER_STEPS, schedule="constant", norm=norm)
    yield SuiteAttack("metzen", mix, "paper", f"Metzen's mix, weight .5, {PAPER_STEPS} steps")


def _alternations(epsilon: float, steps: int, *, held: bool) -> Iterator[SuiteAttack]:
    first = Alternating(step_size=epsilon / (2 * PAPER_STEPS), steps=PAPER_STEPS, epsilon=epsilon)
    known: list[tuple[str, Attack, str]] = [
        (PAPER, first, f"the paper's alternation, T = {PAPER_STEPS}, accumulating, through the map"),
        ("alternating_held", replace(first, through_saliency=False), "as in the authors' code: the map held constant"),
        (
            "alternating_literal",
            replace(first, update="literal"),
            "as equations 3 and 4 are printed: each step from the image",
        ),
        ("alternating_long", replace(first, steps=steps), f"the first of these with T = {steps}"),
    ]
    for name, attack, about in known:
        if held or name != "alternating_held":
            yield SuiteAttack(name, attack, "paper", about)


def transferred(
    epsilon: float,
    steps: int,
    classifier: nn.Module,
    detector: nn.Module,
    *,
    parts: bool,
    goals: int = 0,
    norm: Norm = "linf",
    targeted: bool = False,
) -> SuiteAttack:
    """Return the attack made on another classifier and a detector that looks through it.

    Args:
        epsilon: Budget, in the norm.
        steps: Steps of each walk.
        classifier: A classifier of the same family, from another seed.
        detector: A detector of the same kind, aimed at the same false-positive rate.
        parts: Whether it names parts.
        goals: Nearest classes to which each walk goes as well.
        norm: Norm of the budget.
        targeted: Whether it is to reach a target class.
    """
    weights = PART_WEIGHTS if parts else (0.0,)
    walk: dict[str, Any] = {"epsilon": epsilon, "steps": steps, "goals": goals, "norm": norm}
    inner = OrthogonalPGD(**walk, part_weights=weights, targeted=targeted)
    about = (
        "Orthogonal PGD on the second classifier and a detector of the same kind that looks through it (a trained one "
        "of another seed), with the run's saliency model"
    )
    attack = Transfer(attack=inner, model=classifier, detector=detector, targeted=targeted)
    return SuiteAttack(TRANSFER, attack, "transfer", about)


def matched(
    epsilon: float, steps: int, guides: Tensor, *, restarts: int = 1, norm: Norm = "linf", targeted: bool = False
) -> SuiteAttack:
    """Return the attack that makes the logits those of a clean image, against detectors that ask whether they are.

    Args:
        epsilon: Budget, in the norm.
        steps: Steps of each walk.
        guides: (M, C, H, W), clean images that the attacker has.
        restarts: Restarts of each walk.
        norm: Norm of the budget.
        targeted: Whether it is to reach a target class.
    """
    walk: dict[str, Any] = {"epsilon": epsilon, "steps": steps, "restarts": restarts, "norm": norm}
    attack = Matching(**walk, guides=guides, targeted=targeted)
    about = f"logits become those of the {attack.matches} nearest of {len(guides)} clean images of another class"
    return SuiteAttack(MATCHING, attack, "gradient", about)


def noise(epsilon: float, norm: Norm = "linf") -> SuiteAttack:
    """Return the control: signs drawn at random, at the full budget."""
    attack = SignNoise(epsilon=epsilon, norm=norm)
    return SuiteAttack(NOISE, attack, "control", "random signs of the full budget: a control")


@dataclass(frozen=True, kw_only=True)
class SignNoise(Attack):
    """A control of an attack's size: every value moves by the same amount, up or down at random.

    Args:
        epsilon: Length in the norm, before values are cut to [0, 1].
        norm: linf: each value moves by epsilon; l2: by epsilon over the square root of their number.
    """

    epsilon: float
    norm: Norm = "linf"

    def __post_init__(self) -> None:
        untargeted(self)
        object.__setattr__(self, "norm_family", self.norm)

    def most_passes(self, classes: int) -> MostPasses:  # noqa: ARG002 - the interface
        """Return zero passes; see `Attack.most_passes`."""
        return MostPasses(0, 0)

    def perturb(self, problem: Problem) -> Tensor:
        """Return noisy images; see `Attack.perturb`."""
        shape = problem.images.shape[1:]
        drawn = torch.stack([torch.randint(0, 2, shape, generator=each) for each in problem.generators()])
        size = self.epsilon if self.norm == "linf" else self.epsilon / shape.numel() ** 0.5
        change = size * (2 * drawn - 1).to(problem.images)
        return (problem.images + problem.within_region(change)).clamp(0, 1)


def names() -> list[str]:
    """Return the names of the attacks that are aimed at the false-positive rate, in the order of the cascade."""
    every = suite(0.0, 1, parts=True, held=False)
    return [*(member.name for member in every if member.kind != "paper"), MATCHING, TRANSFER]


def longest(images: Tensor, norm: Norm) -> float:
    """Return the length of the longest change of an image (N, C, H, W) in [0, 1], a budget without effect."""
    return 1.0 if norm == "linf" else float(images.shape[1:].numel() ** 0.5)


def _words(weights: Sequence[float]) -> str:
    return ", ".join(f"{weight:g}" for weight in weights)
