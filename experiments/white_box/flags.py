"""What the white-box protocol says about itself (PROTOCOL D and E)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import torch
from torch import Tensor, nn

from attacks import SelectivePGD, norms
from attacks.guard import evaluation_mode, gradients
from attacks.margin import lead
from detectors.scoring import scores
from experiments.results.result import Flag
from experiments.study.contenders import Contender
from experiments.study.metrics import WORKING_RATE
from experiments.white_box.attacker import Attacker, Outcome
from experiments.white_box.rows import mean_of, of
from experiments.white_box.subjects import BEFORE, Subject, calibrated

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


def _gradients_vanish(attacker: Attacker, subjects: Iterable[Subject]) -> Flag:
    told = []
    for subject in subjects:
        shares = {
            f"score of {subject.name}": _without_gradient(attacker, subject.contender.module, _itself),
            f"margin of the classifier beside {subject.name}": _without_gradient(attacker, subject.model, lead),
        }
        told += [
            f"{name} ({subject.phase} retraining, seed {subject.contender.seed}): zero {zero:.3f}, not finite "
            f"{broken:.3f}"
            for name, (zero, broken) in shares.items()
            if zero or broken
        ]
    return Flag(
        "Gradients of scores and of the classifier's margin at the clean images",
        bool(told),
        f"Share of images on which one is exactly zero or not finite: {', '.join(told)}."
        if told
        else "They are zero on no image.",
    )


def _itself(scores: Tensor, _labels: Tensor) -> Tensor:
    return scores


def _without_gradient(
    attacker: Attacker, network: nn.Module, read: Callable[[Tensor, Tensor], Tensor]
) -> tuple[float, float]:
    """Return the shares of images on which a gradient is all zero, and not finite.

    Args:
        attacker: Of the sample.
        network: What is asked.
        read: The scalar (N,) of its output and the labels.
    """
    device, zero, broken = attacker.study.device, [], []
    images, labels = attacker.sample.images.to(device), attacker.sample.labels.to(device)
    with evaluation_mode(network), gradients(device):
        for part, classes in zip(images.split(_AT_A_TIME), labels.split(_AT_A_TIME), strict=True):  # type: ignore[no-untyped-call]
            seen = part.clone().requires_grad_()
            value = read(network(seen), classes)
            found: Tensor | None = None
            if value.requires_grad:
                (found,) = torch.autograd.grad(value.sum(), seen, allow_unused=True)
            gradient = torch.zeros_like(seen) if found is None else found
            zero.append((gradient == 0).flatten(1).all(1))
            broken.append(~gradient.isfinite().flatten(1).all(1))
    return torch.cat(zero).double().mean().item(), torch.cat(broken).double().mean().item()


_AT_A_TIME: Final = 64


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


_PLAIN: Final = ("joint", "joint_loss", "selective", "orthogonal", "alternating_aimed")
_PARTS: Final = ("selective_parts", "orthogonal_parts")

_ORDERS: Final = (
    ("White-box at least as strong as transfer", (*_PLAIN, *_PARTS), "transfer", "sr_at_5"),
    ("Gradients at least as strong as the gradient-free attack", (*_PLAIN, *_PARTS), "square", "sr_at_5"),
    ("The same without the detector's parts: else they mask its gradient", _PLAIN, "square", "sr_at_5"),
    ("Transfer at least as strong as noise of its size", ("transfer",), "noise", "sr_at_5"),
    (
        "Orthogonal or Selective PGD at least as strong as the alternation with the same aim and steps",
        ("selective", "orthogonal", *_PARTS),
        "alternating_aimed",
        "sr_at_5",
    ),
    ("More iterations of the paper's alternation never weaker", ("alternating_long",), "alternating", "fooled_both"),
)
"""Name, the attacks of which one must be at least as strong as another, that one, and the field compared."""


def _orders(rows: Rows) -> Iterator[Flag]:
    whose = list(dict.fromkeys((row["detector"], row["phase"]) for row in rows))
    for name, stronger, weaker, field in _ORDERS:
        told, seen = [], False
        for detector, phase in whose:
            values = [mean_of(of(rows, detector, phase, attack), field) for attack in stronger]
            high = max((value for value in values if value is not None), default=None)
            low = mean_of(of(rows, detector, phase, weaker), field)
            if high is None or low is None:
                continue
            seen = True
            if high < low - SLACK:
                told.append(f"{detector}, {phase} retraining: {high:.3f} < {low:.3f}")
        ending = "; ".join(told) if told else f"It holds within {SLACK:g} on every detector."
        yield Flag(name, bool(told) if seen else None, f"{field}: {ending}" if seen else "Not measured in this run.")


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
        value < NEARLY_ALL if fooled.any() else None,
        f"Selective PGD, 50 steps: of {int(fooled.sum())} images that fool the classifier, {value:.3f} are accepted.",
    )


def _fresh(rows: Rows, outcomes: Sequence[Outcome], training_steps: int | None) -> Flag:
    name = "Retrained detectors are attacked afresh with ten times the steps, and by another kind"
    if training_steps is None or not any(row["phase"] != BEFORE for row in rows):
        return Flag(name, None, "No detector was retrained.")
    longest = max(each.steps or 0 for each in outcomes if each.subject.phase != BEFORE)
    return Flag(
        name,
        longest < 10 * training_steps,
        f"Trained against {training_steps} steps; the longest walk here has {longest}; Square, of another kind, "
        "has none.",
    )
