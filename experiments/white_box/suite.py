"""The attacks of the white-box protocol, all within one L-inf budget (PROTOCOL C14-C17)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import torch
from torch import Tensor, nn

from attacks import (
    Alternating,
    Attack,
    Joint,
    JointLoss,
    OrthogonalPGD,
    SelectivePGD,
    Square,
    Transfer,
)
from attacks.problem import Problem

Kind = Literal["paper", "gradient", "transfer", "gradient-free", "control"]

PAPER: Final = "alternating"
"""The main paper's attack: its two columns are measured under this one."""

PAPER_STEPS: Final = 5

MIX_WEIGHTS: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
PART_WEIGHTS: Final = (0.1, 1.0, 10.0)
QUERIES_PER_STEP: Final = 10


@dataclass(frozen=True)
class Entry:
    """An attack of the suite.

    Attributes:
        name: Of the row.
        attack: The attack.
        kind: paper: as published, aimed at probability .5; the others are aimed at the false-positive rate.
        about: What it is, in some words.
    """

    name: str
    attack: Attack
    kind: Kind
    about: str


def suite(epsilon: float, steps: int, *, parts: bool, ours: bool) -> list[Entry]:
    """Return the attacks that know everything.

    Args:
        epsilon: L-inf budget of each.
        steps: Of each walk.
        parts: Whether the detector names parts (`surrogates`).
        ours: Whether it has the authors' step of the representation.
    """
    paper = Alternating(step_size=epsilon / (2 * PAPER_STEPS), steps=PAPER_STEPS, epsilon=epsilon)
    authors, literal = replace(paper, through_saliency=False), replace(paper, update="literal")
    found = [
        Entry(PAPER, paper, "paper", f"the paper's alternation, T = {PAPER_STEPS}, accumulating, through the map"),
        Entry(
            "alternating_literal",
            literal,
            "paper",
            "the same, each step from the image as equations 3 and 4 are printed",
        ),
        Entry("alternating_long", replace(paper, steps=steps), "paper", f"the same, T = {steps}"),
        Entry("metzen", _metzen(epsilon), "paper", f"Metzen's mix, weight .5, {PAPER_STEPS} steps"),
        Entry(
            "alternating_aimed",
            replace(paper, steps=steps),
            "gradient",
            f"T = {steps}, aimed at the false-positive rate",
        ),
        Entry(
            "joint",
            Joint(epsilon=epsilon, steps=steps, weights=MIX_WEIGHTS),
            "gradient",
            f"Metzen's mix, weights {_words(MIX_WEIGHTS)}",
        ),
        Entry(
            "joint_loss", JointLoss(epsilon=epsilon, steps=steps), "gradient", "one loss, its weight searched per image"
        ),
        Entry("selective", SelectivePGD(epsilon=epsilon, steps=steps), "gradient", "Selective PGD"),
        Entry("orthogonal", OrthogonalPGD(epsilon=epsilon, steps=steps), "gradient", "Orthogonal PGD"),
    ]
    if ours:
        found.insert(
            1, Entry("alternating_held", authors, "paper", "as in the authors' code: the map is held constant")
        )
    if parts:
        told = f"PGD, also against the detector's parts, weights {_words(PART_WEIGHTS)}"
        selective = SelectivePGD(epsilon=epsilon, steps=steps, part_weights=PART_WEIGHTS)
        orthogonal = OrthogonalPGD(epsilon=epsilon, steps=steps, part_weights=PART_WEIGHTS)
        found += [
            Entry("selective_parts", selective, "gradient", f"Selective {told}"),
            Entry("orthogonal_parts", orthogonal, "gradient", f"Orthogonal {told}"),
        ]
    queries = QUERIES_PER_STEP * steps
    return [
        *found,
        Entry("square", Square(epsilon=epsilon, queries=queries), "gradient-free", f"Square attack, {queries} queries"),
    ]


def transferred(epsilon: float, steps: int, classifier: nn.Module, detector: nn.Module, *, parts: bool) -> Entry:
    """Return the attack made on another classifier and a detector that looks through it.

    Args:
        epsilon: L-inf budget.
        steps: Of each walk.
        classifier: Of the same family, from another seed.
        detector: Of the same kind, aimed at the same false-positive rate.
        parts: Whether it names parts.
    """
    weights = PART_WEIGHTS if parts else (0.0,)
    inner = OrthogonalPGD(epsilon=epsilon, steps=steps, part_weights=weights)
    return Entry("transfer", Transfer(attack=inner, model=classifier, detector=detector), "transfer", _TRANSFER)


def noise(epsilon: float) -> Entry:
    """Return the control: signs drawn at random, at the full budget."""
    return Entry("noise", SignNoise(epsilon=epsilon), "control", "random signs of the full budget: a control")


@dataclass(frozen=True, kw_only=True)
class SignNoise(Attack):
    """No attack but a control of its size: each value moves by epsilon, up or down at random.

    Args:
        epsilon: L-inf length, in [0, 1].
    """

    epsilon: float

    def perturb(self, problem: Problem) -> Tensor:
        """Return noisy images; see `Attack.perturb`."""
        shape = problem.images.shape[1:]
        drawn = torch.stack([torch.randint(0, 2, shape, generator=each) for each in problem.generators()])
        change = self.epsilon * (2 * drawn - 1).to(problem.images)
        return (problem.images + problem.within_region(change)).clamp(0, 1)


def _metzen(epsilon: float) -> Joint:
    return Joint(epsilon=epsilon, steps=PAPER_STEPS, step_size=epsilon / PAPER_STEPS, schedule="constant")


_TRANSFER = (
    "Orthogonal PGD on the second classifier and a detector of the same kind that looks through it (a trained one of "
    "another seed), with the run's saliency model"
)


def _words(weights: Sequence[float]) -> str:
    return ", ".join(f"{weight:g}" for weight in weights)
