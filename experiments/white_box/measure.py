"""The suite on every detector, its worst case, curves, prices, and what the flags need."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attacks import SelectivePGD
from attacks.guard import evaluation_mode, gradients
from attacks.margin import lead
from detectors.scoring import scores
from experiments.results.bootstrap import Resampling
from experiments.study.batches import BATCH, batches
from experiments.study.metrics import WORKING_RATE
from experiments.white_box.attacker import Attacker, Subject
from experiments.white_box.curves import curve_rows, price_rows, strongest
from experiments.white_box.records import Checks, GradientCheck, Outcome, WhiteBoxRecords, row, worst_row
from experiments.white_box.suite import SuiteAttack, noise, suite, transferred


@dataclass(frozen=True)
class SuiteOptions:
    """How detectors are attacked; see `white_box`.

    Attributes:
        epsilon: L-inf budget.
        steps: Of each walk.
        restarts: Of each walk that is aimed at the false-positive rate.
        seeds: Of the detectors; those of the first have curves and a price.
        whole: Seeds whose detectors meet the whole suite, the others the paper's attacks only.
        curve_images: Images of the curves and of the price; 0: neither.
        trained_on: Name of the attack that the detectors were trained on.
    """

    epsilon: float
    steps: int
    restarts: int
    seeds: Sequence[int]
    whole: Sequence[int]
    curve_images: int
    trained_on: str


Alike = Callable[[Subject], Subject | None]


def measure(
    attacker: Attacker,
    subjects: Sequence[Subject],
    broken: Subject,
    alike: Alike,
    options: SuiteOptions,
    resampling: Resampling,
) -> WhiteBoxRecords:
    """Return what the suite makes of detectors.

    Args:
        attacker: Holds the images.
        subjects: The detectors, at least one.
        broken: A detector for the self-test.
        alike: Returns a detector of the same kind on another classifier, for transfer; None: there is none.
        options: How they are attacked.
        resampling: Of the images.
    """
    rows: list[dict[str, Any]] = []
    outcomes: list[Outcome] = []
    about: dict[str, str] = {}
    walks: list[tuple[Subject, SuiteAttack]] = []
    for subject in attacker.progress.track(subjects, description="detectors under attack"):
        seed = subject.contender.seed
        whole = seed in {None, *options.whole}
        attacks = _suite(attacker, subject, alike, options, whole=whole)
        pairs = [(attack, _outcome(attacker, subject, attack)) for attack in attacks]
        about |= {attack.name: attack.about for attack, _ in pairs}
        outcomes += [outcome for _, outcome in pairs]
        rows += [asdict(row(outcome, resampling)) for _, outcome in pairs]
        if whole:
            strong = [outcome for attack, outcome in pairs if attack.kind != "control"]
            rows.append(asdict(worst_row(strong, resampling)))
        if options.curve_images and seed in {None, *options.seeds[:1]}:
            walks.append((subject, strongest(pairs)))
    count, steps = options.curve_images, options.steps
    return WhiteBoxRecords(
        rows=rows,
        outcomes=outcomes,
        about=about,
        curves=list(map(asdict, curve_rows(attacker, walks, options.epsilon, steps, count))),
        prices=list(map(asdict, price_rows(attacker, [subject for subject, _ in walks], steps, count))),
        checks=measure_checks(attacker, subjects, broken, options.epsilon),
    )


def _suite(
    attacker: Attacker, subject: Subject, alike: Alike, options: SuiteOptions, *, whole: bool
) -> Iterator[SuiteAttack]:
    """Yield the attacks on a detector: the whole suite, or the paper's."""
    epsilon, steps = options.epsilon, options.steps
    parts = bool(subject.parts(attacker.images[:1].to(attacker.device)))
    goal = {"targeted": attacker.targeted}
    every = suite(epsilon, steps, parts=parts, held=subject.has_representation_step, restarts=options.restarts, **goal)
    yield from (attack for attack in every if whole or attack.kind == "paper")
    if not whole:
        return
    other = alike(subject)
    if other is not None:
        yield transferred(epsilon, steps, other.model, other.aimed(), parts=parts, **goal)
    if not attacker.targeted:
        yield noise(epsilon)


def _outcome(attacker: Attacker, subject: Subject, attack: SuiteAttack) -> Outcome:
    aim = subject.aimed(None if attack.kind == "paper" and subject.learnt else WORKING_RATE)
    return attacker.outcome(subject, attack.name, attack.attack, aim)


def measure_checks(attacker: Attacker, subjects: Sequence[Subject], broken: Subject, epsilon: float) -> Checks:
    """Return what the flags need to know of detectors, and of one that is broken on purpose, under an L-inf budget."""
    fooled, share = _self_test(attacker, broken, epsilon)
    return Checks(
        gradients=[check for subject in subjects for check in gradient_checks(attacker, subject)],
        undetermined=[subject.name for subject in subjects if not _is_determined(attacker, subject)],
        self_test_fooled=fooled,
        self_test_accepted=share,
    )


def gradient_checks(attacker: Attacker, subject: Subject) -> list[GradientCheck]:
    """Return what the gradients of a detector's score and of the classifier's margin are at the clean images."""
    score = _without_gradient(attacker, subject.contender.module, lambda values, _labels: values)
    margin = _without_gradient(attacker, subject.model, lead)
    shares = {f"score of {subject.name}": score, f"margin of the classifier beside {subject.name}": margin}
    return [GradientCheck(name, subject.phase, subject.contender.seed, *share) for name, share in shares.items()]


def _without_gradient(
    attacker: Attacker, network: nn.Module, read: Callable[[Tensor, Tensor], Tensor]
) -> tuple[float, float]:
    """Return the shares of images where the gradient of what is read off a network is zero, and not finite."""
    zero, broken = [], []
    with evaluation_mode(network), gradients(attacker.device):
        for images, labels in batches(attacker.images, attacker.labels, device=attacker.device):
            seen = images.clone().requires_grad_()
            value = read(network(seen), labels)
            gradient = torch.zeros_like(seen)
            if value.requires_grad:
                (gradient,) = torch.autograd.grad(value.sum(), seen, materialize_grads=True)
            zero.append((gradient == 0).flatten(1).all(1))
            broken.append(~gradient.isfinite().flatten(1).all(1))
    return torch.cat(zero).double().mean().item(), torch.cat(broken).double().mean().item()


def _is_determined(attacker: Attacker, subject: Subject) -> bool:
    """Return whether a detector gives the same images the same scores twice."""
    images = attacker.images[:BATCH]
    return torch.equal(*(scores(subject.contender.module, images, attacker.device) for _ in range(2)))


def _self_test(attacker: Attacker, broken: Subject, epsilon: float) -> tuple[int, float]:
    """Return how many images fool the classifier beside a broken detector, and which share of them it accepts."""
    attack = SelectivePGD(epsilon=max(epsilon, 0.1), steps=50, targeted=attacker.targeted)
    outcome = attacker.outcome(broken, "self-test", attack, broken.aimed(), min(50, len(attacker.images)))
    fooled = int((outcome.right_before & outcome.reached).sum())
    return fooled, int(outcome.fooled(WORKING_RATE).sum()) / max(1, fooled)
