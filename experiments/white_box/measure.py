"""The suite on every detector, its worst case, curves, prices, and the measurements for flags."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from attacks import SelectivePGD
from attacks.guard import asked, evaluation_mode, gradients
from attacks.margin import lead
from detectors.scoring import scores
from experiments.results.bootstrap import Resampling
from experiments.study.batches import BATCH, columns
from experiments.study.metrics import WORKING_RATE
from experiments.study.ranks import first
from experiments.white_box.attacker import Attacker, Job, Subject
from experiments.white_box.curves import curve_rows, has_walk, price_rows, smallest_rows, strongest
from experiments.white_box.forecast import forecast
from experiments.white_box.plan import Mode, Plan
from experiments.white_box.records import (
    Checks,
    GradientCheck,
    Outcome,
    Remedied,
    WhiteBoxRecords,
    row,
    worst_row,
)
from experiments.white_box.remedies import Remedies, needed, remedied
from experiments.white_box.suite import (
    MATCHING,
    TRANSFER,
    Norm,
    SuiteAttack,
    longest,
    matched,
    names,
    noise,
    suite,
    transferred,
)


@dataclass(frozen=True)
class SuiteOptions:
    """How detectors are attacked; see `white_box`.

    Attributes:
        epsilon: Budget, in the norm.
        norm: Norm of the budget.
        plan: How much is run.
        seeds: Seeds of the detectors; curves and prices are of the first.
        whole: Seeds whose detectors meet the whole suite, the others the paper's attacks only.
        trained_on: Name of the attack that the detectors were trained on.
        guides: (M, C, H, W), clean images that the attacker has.
        remedies: auto: remedies against masked gradients where a check asks for them, in rows beside the plain ones.
        bpda: Names of parts of detectors through which the gradient is to pass unchanged.
    """

    epsilon: float
    norm: Norm
    plan: Plan
    seeds: Sequence[int]
    whole: Sequence[int]
    trained_on: str
    guides: Tensor
    remedies: Remedies = "none"
    bpda: Sequence[str] | None = None


Alike = Callable[[Subject], Subject | None]


def measure(
    attacker: Attacker,
    subjects: Sequence[Subject],
    broken: Subject,
    alike: Alike,
    options: SuiteOptions,
    resampling: Resampling,
) -> WhiteBoxRecords:
    """Attack detectors by the suite; print its largest cost beforehand.

    Args:
        attacker: Holds the images.
        subjects: The detectors, at least one.
        broken: A detector for the self-test.
        alike: Returns a detector of the same kind on another classifier, for transfer; None: there is none.
        options: How they are attacked.
        resampling: Draws of the images.
    """
    remedies = [_needed(attacker, subject, options) for subject in subjects]
    suites = [
        (subject, [*_suite(attacker, subject, alike, options), *_remedied(attacker, subject, options, of_subject)])
        for subject, of_subject in zip(subjects, remedies, strict=True)
    ]
    most, sentence = first(lambda: forecast(attacker, suites))
    attacker.progress.console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    rows: list[dict[str, Any]] = []
    outcomes: list[Outcome] = []
    strong: list[Outcome] = []
    walks: list[tuple[Subject, SuiteAttack]] = []
    for (subject, attacks), pairs in zip(suites, _outcomes(attacker, suites, options.plan.mode), strict=True):
        seed = subject.contender.seed
        outcomes += [outcome for _, outcome in pairs]
        rows += [asdict(row(outcome, resampling)) for _, outcome in pairs]
        without_control = [outcome for attack, outcome in pairs if attack.kind != "control"]
        strong += without_control
        if _is_whole(subject, options):
            rows.append(asdict(worst_row(without_control, resampling)))
        if options.plan.curve_images and seed in {None, *options.seeds[:1]} and has_walk(attacks):
            walks.append((subject, strongest(pairs)))
    count, steps = options.plan.curve_images, options.plan.steps
    shown = [subject for subject, _ in walks]
    return WhiteBoxRecords(
        rows=rows,
        most_passes=most,
        outcomes=outcomes,
        about=_about([attacks for _, attacks in suites]),
        curves=list(map(asdict, curve_rows(attacker, walks, options.epsilon, steps, count, options.norm))),
        smallest=list(map(asdict, smallest_rows(attacker, shown, strong, steps, count, options.norm))),
        prices=list(map(asdict, price_rows(attacker, shown, steps, count))),
        checks=measure_checks(attacker, subjects, broken, options.epsilon, options.norm),
        remedies=[remedy for of_subject in remedies for remedy in of_subject],
    )


def _needed(attacker: Attacker, subject: Subject, options: SuiteOptions) -> list[Remedied]:
    """Return the remedies for a detector that meets the whole suite, from checks on clean images."""
    if options.remedies == "none" or not _is_whole(subject, options):
        return []
    gradients = gradient_checks(attacker, subject)
    return needed(subject, gradients, options.bpda, determined=_is_determined(attacker, subject))


def _about(suites: Sequence[Sequence[SuiteAttack]]) -> dict[str, str]:
    """Return what each attack is, by name, in the order of the longest suite."""
    longest_first = sorted(suites, key=len, reverse=True)
    return {attack.name: attack.about for attacks in longest_first for attack in attacks}


def _is_whole(subject: Subject, options: SuiteOptions) -> bool:
    """Return whether a detector meets the whole suite, or only the paper's attacks."""
    return subject.contender.seed in {None, *options.whole}


def _suite(attacker: Attacker, subject: Subject, alike: Alike, options: SuiteOptions) -> Iterator[SuiteAttack]:
    """Yield the attacks on a detector, in the order of the cascade."""
    epsilon, plan = options.epsilon, options.plan
    parts, goal = _has_parts(attacker, subject), _goal(attacker, options)
    whole, wanted = _is_whole(subject, options), names() if plan.attacks is None else plan.attacks
    for attack in _every(attacker, subject, options):
        works = subject.differentiable or attack.kind == "gradient-free"
        if works and (attack.kind == "paper" or (whole and attack.name in wanted)):
            yield attack
    if not whole:
        return
    if MATCHING in wanted and subject.differentiable:
        more: dict[str, Any] = {"restarts": plan.restarts, "norm": options.norm, "targeted": attacker.targeted}
        yield matched(epsilon, plan.steps, options.guides, **more)
    other = alike(subject) if TRANSFER in wanted else None
    if other is not None:
        yield transferred(epsilon, plan.steps, other.model, other.aimed(), parts=parts, **goal)
    if not attacker.targeted:
        yield noise(epsilon, options.norm)


def _every(attacker: Attacker, subject: Subject, options: SuiteOptions) -> Iterator[SuiteAttack]:
    plan, held, parts = options.plan, subject.has_representation_step, _has_parts(attacker, subject)
    walk: dict[str, Any] = {"restarts": plan.restarts, **_goal(attacker, options)}
    return suite(options.epsilon, plan.steps, parts=parts, held=held, **walk)


def _remedied(
    attacker: Attacker, subject: Subject, options: SuiteOptions, remedies: Sequence[Remedied]
) -> Iterator[SuiteAttack]:
    """Yield the walks under remedies, also those that cannot work without."""
    return remedied(_every(attacker, subject, options), remedies)


def _has_parts(attacker: Attacker, subject: Subject) -> bool:
    return bool(subject.parts(attacker.images[:1].to(attacker.device)))


def _goal(attacker: Attacker, options: SuiteOptions) -> dict[str, Any]:
    return {"goals": options.plan.goals, "norm": options.norm, "targeted": attacker.targeted}


_Pairs = list[tuple[SuiteAttack, Outcome]]


def _outcomes(attacker: Attacker, suites: Sequence[tuple[Subject, Sequence[SuiteAttack]]], mode: Mode) -> list[_Pairs]:
    """Return each detector's attacks with their outcomes; all detectors meet their first attack, then their second."""
    found: list[_Pairs] = [[] for _ in suites]
    most = max(len(attacks) for _, attacks in suites)
    for number in attacker.progress.track(range(most), description="detectors under attack"):
        running = [
            (subject, attacks[number], pairs)
            for (subject, attacks), pairs in zip(suites, found, strict=True)
            if number < len(attacks)
        ]
        outcomes = attacker.outcomes([_job(attacker, *each, mode) for each in running])
        for (_, attack, pairs), outcome in zip(running, outcomes, strict=True):
            won = None if attack.kind == "control" else outcome.fooled(WORKING_RATE) & ~_won(attacker, pairs)
            pairs.append((attack, replace(outcome, first=won)))
    return found


def _job(attacker: Attacker, subject: Subject, attack: SuiteAttack, pairs: _Pairs, mode: Mode) -> Job:
    """Return an attack; in mode worst on the images, right before, that no earlier one of the `pairs` has won."""
    cascaded = mode == "worst" and attack.kind not in {"paper", "control"}
    given = attacker.right(subject) & ~_won(attacker, pairs) if cascaded else None
    aim = subject.aimed(None if attack.kind == "paper" and subject.learnt else WORKING_RATE)
    return Job(subject, attack.name, attack.attack, aim, given=given)


def _won(attacker: Attacker, pairs: _Pairs) -> Tensor:
    """Return which images (n,) any attack has won, but for the control."""
    won = torch.zeros(len(attacker.images), dtype=torch.bool)
    for attack, outcome in pairs:
        won |= outcome.fooled(WORKING_RATE) & (attack.kind != "control")
    return won


def measure_checks(
    attacker: Attacker, subjects: Sequence[Subject], broken: Subject, epsilon: float, norm: Norm = "linf"
) -> Checks:
    """Return the checks of detectors, and of one that is broken on purpose, under a budget."""
    fooled, share = _self_test(attacker, broken, epsilon, norm)
    return Checks(
        gradients=[check for subject in subjects for check in gradient_checks(attacker, subject)],
        undetermined=[subject.name for subject in subjects if not _is_determined(attacker, subject)],
        self_test_fooled=fooled,
        self_test_accepted=share,
    )


def gradient_checks(attacker: Attacker, subject: Subject) -> list[GradientCheck]:
    """Return checks of the gradients of a detector's score and of the classifier's margin at the clean images."""
    score = _without_gradient(attacker, subject.contender.module, lambda values, _labels: values)
    margin = _without_gradient(attacker, subject.model, lead)
    shares = {f"score of {subject.name}": score, f"margin of the classifier beside {subject.name}": margin}
    return [GradientCheck(name, subject.phase, subject.contender.seed, *share) for name, share in shares.items()]


def _without_gradient(
    attacker: Attacker, network: nn.Module, read: Callable[[Tensor, Tensor], Tensor]
) -> tuple[float, float]:
    """Return the shares of images where the gradient of what is read off a network is zero, and not finite."""

    def checked(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        seen = images.clone().requires_grad_()
        value = read(asked(network, seen), labels)
        gradient = torch.zeros_like(seen)
        if value.requires_grad:
            (gradient,) = torch.autograd.grad(value.sum(), seen, materialize_grads=True)
        return (gradient == 0).flatten(1).all(1), ~gradient.isfinite().flatten(1).all(1)

    with evaluation_mode(network), gradients(attacker.device):
        zero, broken = columns(checked, attacker.images, attacker.labels, device=attacker.device)
    return zero.double().mean().item(), broken.double().mean().item()


def _is_determined(attacker: Attacker, subject: Subject) -> bool:
    """Return whether a detector gives the same images the same scores twice."""
    images = attacker.images[:BATCH]
    return first(lambda: torch.equal(*(scores(subject.contender.module, images, attacker.device) for _ in range(2))))


def _self_test(attacker: Attacker, broken: Subject, epsilon: float, norm: Norm) -> tuple[int, float]:
    """Return how many images fool the classifier beside a broken detector, and which share of them it accepts."""
    epsilon = max(epsilon, 0.1 * longest(attacker.images, norm))
    attack = SelectivePGD(epsilon=epsilon, norm=norm, steps=50, targeted=attacker.targeted)
    (outcome,) = attacker.outcomes([Job(broken, "self-test", attack, broken.aimed(), min(50, len(attacker.images)))])
    fooled = int((outcome.right_before & outcome.reached).sum())
    return fooled, int(outcome.fooled(WORKING_RATE).sum()) / max(1, fooled)
