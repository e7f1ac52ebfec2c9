"""What the white-box protocol says about itself (PROTOCOL D and E)."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import torch
from torch import Tensor, nn

from attacks import SelectivePGD, norms
from attacks.guard import evaluation_mode, gradients
from experiments.measures import WORKING_RATE
from experiments.results import Flag
from experiments.scoring import scores
from experiments.study import Contender
from experiments.white_box.measured import Attacker, Outcome
from experiments.white_box.rows import mean_of
from experiments.white_box.subjects import BEFORE, Subject, calibrated
from experiments.white_box.suite import PAPER_STEPS

SLACK: Final = 0.05
"""By how much a stronger attack may fall behind a weaker one: a few images."""

NEARLY_ALL: Final = 0.95
"""What an attack without a budget, or on a broken detector, must reach."""

Rows = Sequence[Mapping[str, Any]]


def flags(
    attacker: Attacker,
    outcomes: Sequence[Outcome],
    rows: Rows,
    curves: Rows,
    epsilon: float,
    training_steps: int | None,
) -> list[Flag]:
    """Return all checks.

    Args:
        attacker: Of the sample.
        outcomes: Of every detector and attack.
        rows: The records of the protocol.
        curves: Those of `curve_rows`; may be empty.
        epsilon: The budget.
        training_steps: Of the attack that detectors were retrained against; None: there is no such attack.
    """
    return [
        _budget(outcomes, attacker.sample.images, epsilon),
        _gradients_vanish(attacker, {id(each.subject): each.subject for each in outcomes}.values()),
        _determined(attacker, outcomes),
        *_orders(rows),
        *_along(curves),
        _self_test(attacker, outcomes[0].subject, epsilon),
        _fresh(rows, outcomes, training_steps),
        _steps_of_the_score(rows),
    ]


def _budget(outcomes: Sequence[Outcome], images: Tensor, epsilon: float) -> Flag:
    largest = max(norms.linf(each.adversarial - images).amax().item() for each in outcomes)
    low = min(each.adversarial.amin().item() for each in outcomes)
    high = max(each.adversarial.amax().item() for each in outcomes)
    broken = largest > epsilon + 1e-6 or low < 0 or high > 1
    return Flag(
        "Box and budget of every returned image",
        broken,
        f"Largest L-inf change {largest:.4f} for a budget of {epsilon:g}, values from {low:g} to {high:g}; success is "
        "computed anew from the images.",
    )


def _gradients_vanish(attacker: Attacker, subjects: Any) -> Flag:
    shares = {}
    for subject in subjects:
        zero, broken = _without_gradient(subject, attacker.sample.images.to(attacker.study.device))
        if zero or broken:
            shares[f"{subject.name} ({subject.phase}, seed {subject.contender.seed})"] = (zero, broken)
    told = ", ".join(f"{name} zero {zero:.3f}, not finite {broken:.3f}" for name, (zero, broken) in shares.items())
    return Flag(
        "Gradient of the score at the clean images",
        bool(shares),
        f"Share of images on which it is exactly zero or not finite: {told}." if shares else "It is zero on no image.",
    )


def _without_gradient(subject: Subject, images: Tensor) -> tuple[float, float]:
    """Return the shares of images on which the gradient of the score is all zero, and not finite."""
    module, zero, broken = subject.contender.module, [], []
    with evaluation_mode(module), gradients(images.device):
        for part in images.split(64):  # type: ignore[no-untyped-call]
            seen = part.clone().requires_grad_()
            scores = module(seen)
            found: Tensor | None = None
            if scores.requires_grad:
                (found,) = torch.autograd.grad(scores.sum(), seen, allow_unused=True)
            gradient = torch.zeros_like(seen) if found is None else found
            zero.append((gradient == 0).flatten(1).all(1))
            broken.append(~gradient.isfinite().flatten(1).all(1))
    return torch.cat(zero).double().mean().item(), torch.cat(broken).double().mean().item()


def _determined(attacker: Attacker, outcomes: Sequence[Outcome]) -> Flag:
    moving = []
    for subject in {id(each.subject): each.subject for each in outcomes}.values():
        twice = [scores(subject.contender.module, attacker.sample.images[:64], attacker.study.device) for _ in range(2)]
        if not torch.equal(*twice):
            moving.append(subject.name)
    return Flag(
        "Determinism",
        bool(moving),
        f"Scores of the same images differ between calls: {', '.join(moving)}."
        if moving
        else "Every detector gives the same scores twice.",
    )


_ORDERS: Final = (
    ("White-box at least as strong as transfer", ("orthogonal_parts", "orthogonal"), "transfer"),
    ("Gradients at least as strong as the gradient-free attack (else they are masked)", ("*",), "square"),
    ("Transfer at least as strong as noise of its size", ("transfer",), "noise"),
    (
        "Orthogonal or Selective PGD at least as strong as the paper's alternation",
        ("selective", "orthogonal", "selective_parts", "orthogonal_parts"),
        "alternating",
    ),
    ("More iterations of the alternation never weaker", ("alternating_aimed",), "alternating"),
)


def _orders(rows: Rows) -> Iterator[Flag]:
    whose = dict.fromkeys((row["detector"], row["phase"]) for row in rows)
    for name, stronger, weaker in _ORDERS:
        told, raised, seen = [], False, False
        for detector, phase in whose:
            mine = {
                attack: mean_of([row for row in rows if _is(row, detector, phase, attack)], "sr_at_5")
                for attack in dict.fromkeys(row["attack"] for row in rows)
            }
            wanted = _GRADIENTS if stronger == ("*",) else stronger
            high = max((value for key in wanted if (value := mine.get(key)) is not None), default=None)
            low = mine.get(weaker)
            if high is None or low is None:
                continue
            seen = True
            if high < low - SLACK:
                raised = True
                told.append(f"{detector}, {phase} retraining: {high:.3f} < {low:.3f}")
        ending = "; ".join(told) if told else f"It holds within {SLACK:g} on every detector."
        yield Flag(name, raised if seen else None, f"SR@5. {ending}" if seen else "Not measured in this run.")


_GRADIENTS: Final = (
    "alternating_aimed",
    "joint",
    "joint_loss",
    "selective",
    "orthogonal",
    "selective_parts",
    "orthogonal_parts",
)


def _is(row: Mapping[str, Any], detector: str, phase: str, attack: str) -> bool:
    return (row["detector"], row["phase"], row["attack"]) == (detector, phase, attack)


def _along(curves: Rows) -> Iterator[Flag]:
    whose = dict.fromkeys((each["detector"], each["phase"]) for each in curves)
    for across, name in (("steps", "More steps never weaker"), ("epsilon", "A larger budget never weaker")):
        falls = []
        for key in whose:
            line = [each for each in curves if (each["detector"], each["phase"]) == key and each["across"] == across]
            values = [each["sr_at_5"] for each in line if each["sr_at_5"] is not None]
            fall = max((a - b for a, b in pairwise(values)), default=0.0)
            if fall > SLACK:
                falls.append(f"{key[0]}, {key[1]} retraining: falls by {fall:.3f}")
        ending = "; ".join(falls) or f"It holds within {SLACK:g} on every detector."
        yield Flag(name, bool(falls) if curves else None, ending if curves else "No curves were made.")
    yield _zero(curves)
    yield _large(curves)


def _zero(curves: Rows) -> Flag:
    found = [each for each in curves if each["across"] == "epsilon" and each["at"] == 0 and each["sr_at_5"] is not None]
    return Flag(
        "Epsilon 0 gives exactly the clean result",
        any(each["sr_at_5"] > 0 for each in found) if found else None,
        f"SR@5 at epsilon 0: at most {max(each['sr_at_5'] for each in found):.3f}."
        if found
        else "No curves were made.",
    )


def _large(curves: Rows) -> Flag:
    found = [each for each in curves if each["across"] == "epsilon" and each["at"] == 1 and each["sr_at_5"] is not None]
    low = [
        f"{each['detector']}, {each['phase']} retraining {each['sr_at_5']:.3f}"
        for each in found
        if each["sr_at_5"] < NEARLY_ALL
    ]
    return Flag(
        "Without a budget (epsilon 1) nearly every image is won",
        bool(low) if found else None,
        f"SR@5 under .95: {', '.join(low)}." if low else "It is." if found else "No curves were made.",
    )


class _Mean(nn.Module):
    """A detector that is broken on purpose: it only looks at the mean brightness."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))


def _self_test(attacker: Attacker, like: Subject, epsilon: float) -> Flag:
    module = _Mean()
    contender = Contender("broken", None, None, module, calibrated(attacker.study, module))
    subject = Subject(contender, BEFORE, like.model)
    found = attacker.outcome(
        subject,
        "self-test",
        SelectivePGD(epsilon=max(epsilon, 0.1), steps=50),
        subject.aimed(),
        min(50, len(attacker.sample)),
    )
    fooled = found.right_before & found.wrong
    value = int(found.fooled(WORKING_RATE).sum()) / max(1, int(fooled.sum()))
    return Flag(
        "Self-test: a detector that only looks at the mean brightness falls",
        value < NEARLY_ALL,
        f"Selective PGD, 50 steps: of {int(fooled.sum())} images that fool the classifier, {value:.3f} are accepted.",
    )


def _fresh(rows: Rows, outcomes: Sequence[Outcome], training_steps: int | None) -> Flag:
    name = "Retrained detectors are attacked afresh with ten times the steps, and by another kind"
    if training_steps is None or not any(row["phase"] != BEFORE for row in rows):
        return Flag(name, None, "No detector was retrained.")
    longest = max(each.backward_passes for each in outcomes if each.subject.phase != BEFORE)
    return Flag(
        name,
        longest < 10 * training_steps,
        f"Trained against {training_steps} steps; the longest attack here took {longest:.0f} backward passes per "
        "image, and Square, of another kind, none.",
    )


def _steps_of_the_score(rows: Rows) -> Flag:
    """Say beside JSD through what its Jacobian was attacked (PROTOCOL E24)."""
    whose = {row["detector"] for row in rows if row["attack"] == "orthogonal_parts"}
    return Flag(
        "What gradients go through",
        None,
        "The image, the learnt map and every network: nothing is detached. "
        f"The parts that {', '.join(sorted(whose)) or 'detectors'} "
        "name (for JSD the score with a softplus Jacobian, whose own second derivative is zero) are attacked in the "
        f"rows *_parts only. The paper's alternation has T = {PAPER_STEPS}.",
    )
