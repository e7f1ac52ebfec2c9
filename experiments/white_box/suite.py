"""The attacks of the white-box protocol, all within one L-inf budget (PROTOCOL C14-C17)."""

from collections.abc import Iterator, Sequence
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


def suite(epsilon: float, steps: int, *, parts: bool, ours: bool, restarts: int = 1) -> list[Entry]:
    """Return the attacks that know everything.

    Args:
        epsilon: L-inf budget of each.
        steps: Of each walk.
        parts: Whether the detector names parts (`surrogates`).
        ours: Whether it has the authors' step of the representation.
        restarts: Of each walk that is aimed at the false-positive rate.
    """
    found = [Entry(name, attack, "paper", about) for name, attack, about in _paper(epsilon, steps, ours=ours)]
    found += [Entry(name, attack, "gradient", about) for name, attack, about in _walks(epsilon, steps, restarts)]
    if parts:
        told = f"PGD, also against the detector's parts, weights {_words(PART_WEIGHTS)}"
        for name, kind in (("selective_parts", SelectivePGD), ("orthogonal_parts", OrthogonalPGD)):
            attack = kind(epsilon=epsilon, steps=steps, restarts=restarts, part_weights=PART_WEIGHTS)
            found.append(Entry(name, attack, "gradient", f"{name.partition('_')[0].capitalize()} {told}"))
    queries = QUERIES_PER_STEP * steps
    square = Square(epsilon=epsilon, queries=queries)
    return [*found, Entry("square", square, "gradient-free", f"Square attack, {queries} queries")]


def _paper(epsilon: float, steps: int, *, ours: bool) -> Iterator[tuple[str, Attack, str]]:
    """Yield what the paper compares, aimed at probability .5."""
    own = Alternating(step_size=epsilon / (2 * PAPER_STEPS), steps=PAPER_STEPS, epsilon=epsilon)
    mix = Joint(epsilon=epsilon, steps=PAPER_STEPS, step_size=epsilon / PAPER_STEPS, schedule="constant")
    yield PAPER, own, f"the paper's alternation, T = {PAPER_STEPS}, accumulating, through the map"
    if ours:
        yield "alternating_held", replace(own, through_saliency=False), "as in the authors' code: the map held constant"
    literal = "as equations 3 and 4 are printed: each step from the image"
    yield "alternating_literal", replace(own, update="literal"), literal
    yield "alternating_long", replace(own, steps=steps), f"the first of these with T = {steps}"
    yield "metzen", mix, f"Metzen's mix, weight .5, {PAPER_STEPS} steps"


def _walks(epsilon: float, steps: int, restarts: int) -> Iterator[tuple[str, Attack, str]]:
    """Yield the attacks aimed at the false-positive rate that go along gradients, but those against parts."""
    own = Alternating(step_size=epsilon / (2 * PAPER_STEPS), steps=steps, epsilon=epsilon)
    joint = Joint(epsilon=epsilon, steps=steps, restarts=restarts, weights=MIX_WEIGHTS)
    yield "alternating_aimed", own, f"the alternation with T = {steps}, aimed at the false-positive rate"
    yield "joint", joint, f"Metzen's mix, weights {_words(MIX_WEIGHTS)}"
    yield (
        "joint_loss",
        JointLoss(epsilon=epsilon, steps=steps, restarts=restarts),
        "one loss, its weight searched per image",
    )
    yield "selective", SelectivePGD(epsilon=epsilon, steps=steps, restarts=restarts), "Selective PGD"
    yield "orthogonal", OrthogonalPGD(epsilon=epsilon, steps=steps, restarts=restarts), "Orthogonal PGD"


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


_TRANSFER = (
    "Orthogonal PGD on the second classifier and a detector of the same kind that looks through it (a trained one of "
    "another seed), with the run's saliency model"
)


def _words(weights: Sequence[float]) -> str:
    return ", ".join(f"{weight:g}" for weight in weights)
