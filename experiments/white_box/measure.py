"""The suite on every detector, its worst case, curves, prices, and the measurements for flags."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import torch
from torch import Tensor, nn

from attacks import SelectivePGD
from attacks.guard import asked, evaluation_mode, gradients
from attacks.margin import lead
from detectors.scoring import scores
from experiments.results.bootstrap import Resampling
from experiments.results.levels import WORKING_RATE
from experiments.study.batches import BATCH, columns
from experiments.study.ranks import first
from experiments.white_box.attacker import Attacker, Job, Subject
from experiments.white_box.contrasts import contrasts
from experiments.white_box.curves import curve_rows, has_walk, price_rows, smallest_rows, strongest
from experiments.white_box.forecast import forecast
from experiments.white_box.outcomes import Outcome, image_by_image, row, worst_row
from experiments.white_box.plan import Mode, Plan
from experiments.white_box.records import BEFORE, Checks, GradientCheck, Remedied, WhiteBoxRecords
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
    remedies: Remedies = "auto"
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
    attacked, most_passes = attack_by_suite(attacker, subjects, alike, options)
    rows: list[dict[str, Any]] = []
    for detector in attacked:
        rows += [asdict(row(outcome, resampling)) for outcome in detector.outcomes]
        if _is_whole(detector.subject, options):
            rows.append(asdict(worst_row(detector.competing, resampling)))
    count, steps = options.plan.curve_images, options.plan.steps
    shown = [
        detector
        for detector in attacked
        if count and _of_first_seed(detector.subject, options) and has_walk(detector.attacks)
    ]
    walks = [
        (detector.subject, strongest(list(zip(detector.attacks, detector.outcomes, strict=True)))) for detector in shown
    ]
    outcomes = [outcome for detector in attacked for outcome in detector.outcomes]
    competing = [outcome for detector in attacked for outcome in detector.competing]
    drawn = [detector.subject for detector in shown]
    return WhiteBoxRecords(
        rows=rows,
        most_passes=most_passes,
        about=about(attacked),
        curves=list(map(asdict, curve_rows(attacker, walks, competing, options.epsilon, steps, count, options.norm))),
        smallest=list(map(asdict, smallest_rows(attacker, drawn, competing, steps, count, options.norm))),
        prices=list(map(asdict, price_rows(attacker, drawn, steps, count))),
        contrasts=contrasts(outcomes, resampling),
        image_by_image=[
            image_by_image(detector.competing) for detector in attacked if _is_whole(detector.subject, options)
        ],
        checks=measure_checks(attacker, subjects, outcomes, broken, options.epsilon, options.norm),
        remedies=[remedy for detector in attacked for remedy in detector.remedies],
    )


@dataclass(frozen=True)
class Attacked:
    """A detector with its attacks, in the order of the cascade, and the outcomes of those that have run."""

    subject: Subject
    attacks: Sequence[SuiteAttack]
    remedies: Sequence[Remedied]
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def competing(self) -> list[Outcome]:
        """The outcomes that count in the worst case: all but that of the control."""
        pairs = zip(self.attacks, self.outcomes, strict=False)  # outcomes come one by one
        return [outcome for attack, outcome in pairs if attack.kind != "control"]

    def won(self, images: int) -> Tensor:
        """Return which of so many images, (n,) bool, any attack has won, but for the control."""
        nothing = torch.zeros(images, dtype=torch.bool)
        return torch.stack([nothing, *(outcome.fooled(WORKING_RATE) for outcome in self.competing)]).any(0)


_ORDER: Final = {"paper": 0, "gradient": 1, "gradient-free": 2, "transfer": 3, "control": 4}
"""Place of a kind of attack in the cascade: a win without gradients, after those that use them, tells of masking."""


def attack_by_suite(
    attacker: Attacker, subjects: Sequence[Subject], alike: Alike, options: SuiteOptions
) -> tuple[list[Attacked], tuple[int, int]]:
    """Return the attacked detectors, and the most passes forward and backward that an image costs; see `measure`."""
    attacked = []
    for subject in subjects:
        remedies = _needed(attacker, subject, options)
        again = remedied(_every(attacker, subject, options), remedies)
        attacks = sorted([*_suite(attacker, subject, alike, options), *again], key=lambda attack: _ORDER[attack.kind])
        attacked.append(Attacked(subject, attacks, remedies))
    most_passes, sentence = first(
        lambda: forecast(attacker, [(detector.subject, detector.attacks) for detector in attacked])
    )
    attacker.progress.console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    _run(attacker, attacked, options.plan.mode)
    return attacked, most_passes


def about(attacked: Sequence[Attacked]) -> dict[str, str]:
    """Return a description of each attack, by name, in the order of the longest suite."""
    suites = sorted((detector.attacks for detector in attacked), key=len, reverse=True)
    return {attack.name: attack.about for attacks in suites for attack in attacks}


def _needed(attacker: Attacker, subject: Subject, options: SuiteOptions) -> list[Remedied]:
    """Return the remedies for a detector that meets the whole suite, from checks on clean images."""
    if options.remedies == "none" or not _is_whole(subject, options):
        return []
    gradients = gradient_checks(attacker, subject)
    return needed(subject, gradients, options.bpda, determined=_is_determined(attacker, subject))


def _is_whole(subject: Subject, options: SuiteOptions) -> bool:
    """Return whether a detector meets the whole suite, or only the paper's attacks."""
    return subject.contender.seed in {None, *options.whole}


def _of_first_seed(subject: Subject, options: SuiteOptions) -> bool:
    return subject.contender.seed in {None, *options.seeds[:1]}


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


def _has_parts(attacker: Attacker, subject: Subject) -> bool:
    return bool(subject.parts(attacker.images[:1].to(attacker.device)))


def _goal(attacker: Attacker, options: SuiteOptions) -> dict[str, Any]:
    return {"goals": options.plan.goals, "norm": options.norm, "targeted": attacker.targeted}


def _run(attacker: Attacker, attacked: Sequence[Attacked], mode: Mode) -> None:
    """Run the attacks: all detectors meet their first one, then their second."""
    most = max(len(detector.attacks) for detector in attacked)
    for number in attacker.progress.track(range(most), description="detectors under attack"):
        running = [detector for detector in attacked if number < len(detector.attacks)]
        outcomes = attacker.outcomes([_job(attacker, detector, detector.attacks[number], mode) for detector in running])
        for detector, outcome in zip(running, outcomes, strict=True):
            is_control = detector.attacks[number].kind == "control"
            won_first = None if is_control else outcome.fooled(WORKING_RATE) & ~detector.won(len(attacker.images))
            detector.outcomes.append(replace(outcome, won_first=won_first))


def _job(attacker: Attacker, attacked: Attacked, attack: SuiteAttack, mode: Mode) -> Job:
    """Return an attack; in mode worst on the images, right before, that no earlier one has won."""
    subject = attacked.subject
    cascaded = mode == "worst" and attack.kind not in {"paper", "control"}
    given = attacker.right(subject) & ~attacked.won(len(attacker.images)) if cascaded else None
    aim = subject.aimed(None if attack.kind == "paper" and subject.learnt else WORKING_RATE)
    return Job(subject, attack.name, attack.attack, aim, given=given)


def measure_checks(
    attacker: Attacker,
    subjects: Sequence[Subject],
    outcomes: Sequence[Outcome],
    broken: Subject,
    epsilon: float,
    norm: Norm = "linf",
) -> Checks:
    """Return the checks of detectors, of the outcomes of attacks, and of a detector that is broken on purpose."""
    fooled, share = _self_test(attacker, broken, epsilon, norm)
    return Checks(
        span=(min(outcome.span[0] for outcome in outcomes), max(outcome.span[1] for outcome in outcomes)),
        longest_retrained=max((outcome.steps or 0 for outcome in outcomes if outcome.phase != BEFORE), default=None),
        not_finite=_not_finite(outcomes),
        gradients=[check for subject in subjects for check in gradient_checks(attacker, subject)],
        undetermined=[subject.name for subject in subjects if not _is_determined(attacker, subject)],
        self_test_fooled=fooled,
        self_test_accepted=share,
    )


def _not_finite(outcomes: Sequence[Outcome]) -> dict[str, tuple[int, int]]:
    """Return of how many clean and attacked images the scores are replaced, by each detector that does this."""
    counts = {}
    for name in dict.fromkeys(outcome.contender.name for outcome in outcomes):
        of_detector = [outcome for outcome in outcomes if outcome.contender.name == name]
        stands_for = getattr(of_detector[0].contender.module, "rejected", None)
        if stands_for is not None:
            clean = int((of_detector[0].clean_scores == stands_for).sum())
            counts[name] = clean, sum(int((outcome.scores == stands_for).sum()) for outcome in of_detector)
    return counts


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
