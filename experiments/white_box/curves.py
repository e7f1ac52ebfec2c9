"""SR@5 of each detector against steps and budget, the smallest budget of each image, and the price of detection."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, Literal, TypedDict

import torch
from torch import Tensor

from attacks import DDN, HingedAPGD, JointDDN, JointFMN
from attacks.white_box.walk import Walk
from experiments.results.levels import WORKING_RATE
from experiments.results.two_samples import spread_of
from experiments.white_box.attacker import Attacker, Job, Subject
from experiments.white_box.outcomes import Outcome
from experiments.white_box.records import CurvePoint, Price
from experiments.white_box.smallest import ROUNDING, Smallest
from experiments.white_box.suite import Norm, SuiteAttack, longest

STEPS: Final = (1, 3, 10, 30)
"""Numbers of steps in a curve, besides the suite's own."""

SHARES: Final = (0.0, 0.25, 0.5, 1.0, 2.0)
"""Budgets in a curve, as multiples of the suite's."""


def has_walk(attacks: Sequence[SuiteAttack]) -> bool:
    """Return whether some of the attacks is a walk aimed at the false-positive rate, whose curve can be drawn."""
    return any(map(_is_walk, attacks))


def strongest(outcomes: Sequence[tuple[SuiteAttack, Outcome]]) -> SuiteAttack:
    """Return the walk of the suite that won most on a detector; the earlier of equals.

    Args:
        outcomes: Attacks with their outcomes; at least one is a walk aimed at the false-positive rate.
    """
    walks = [pair for pair in outcomes if _is_walk(pair[0])]
    return max(walks, key=lambda each: each[1].success(WORKING_RATE) or 0.0)[0]


def _is_walk(member: SuiteAttack) -> bool:
    return member.kind == "gradient" and isinstance(member.attack, Walk | HingedAPGD)


def curve_rows(
    attacker: Attacker,
    wanted: Sequence[tuple[Subject, SuiteAttack]],
    suite: Sequence[Outcome],
    epsilon: float,
    steps: int,
    count: int,
    norm: Norm = "linf",
) -> Iterator[CurvePoint]:
    """Yield the success of each detector's walk at some numbers of steps, and at some budgets.

    An image counts at a budget if an attack of the suite, or the walk at a smaller budget, has won it within. Only the
    others are attacked there.

    Args:
        attacker: Holds the images.
        wanted: The detectors, each with a walk.
        suite: Outcomes of the suite's attacks on them.
        epsilon: The suite's budget.
        steps: Steps of the suite's walks.
        count: Attacked images, the first ones.
        norm: Norm of the budgets.
    """
    if not wanted:
        return
    found = [
        *_along_steps(attacker, wanted, steps, count),
        *_along_budgets(attacker, wanted, suite, epsilon, count, norm),
    ]
    for subject, _ in wanted:
        yield from (point for of, point in found if of is subject)


_Point = tuple[Subject, CurvePoint]


def _along_steps(
    attacker: Attacker, wanted: Sequence[tuple[Subject, SuiteAttack]], steps: int, count: int
) -> Iterator[_Point]:
    points = [(*each, at) for each in wanted for at in sorted({*(number for number in STEPS if number < steps), steps})]
    jobs = [_job(subject, walk, "steps", at, count) for subject, walk, at in points]
    for (subject, walk, at), outcome in zip(points, attacker.outcomes(jobs), strict=True):
        yield subject, _point(subject, walk, "steps", at, outcome, outcome.fooled(WORKING_RATE))


def _along_budgets(
    attacker: Attacker,
    wanted: Sequence[tuple[Subject, SuiteAttack]],
    suite: Sequence[Outcome],
    epsilon: float,
    count: int,
    norm: Norm,
) -> Iterator[_Point]:
    most = longest(attacker.images, norm)
    known = [[outcome for outcome in suite if outcome.contender is subject.contender] for subject, _ in wanted]
    shortest = [_shortest(outcomes, norm, count) for outcomes in known]
    for at in sorted({*(min(most, share * epsilon) for share in SHARES), most}):
        jobs = []
        for (subject, walk), outcomes, lengths in zip(wanted, known, shortest, strict=True):
            made = at == epsilon and any(outcome.attack == walk.name for outcome in outcomes)
            given = attacker.right(subject).clone()
            given[:count] &= (lengths > at + ROUNDING) & (not made)
            given[count:] = False
            jobs.append(_job(subject, walk, "epsilon", at, count, given))
        for number, ((subject, walk), outcome) in enumerate(zip(wanted, attacker.outcomes(jobs), strict=True)):
            shortest[number] = torch.minimum(shortest[number], _lengths(outcome, norm))
            yield subject, _point(subject, walk, "epsilon", at, outcome, shortest[number] <= at + ROUNDING)


def _job(subject: Subject, walk: SuiteAttack, across: str, at: float, count: int, given: Tensor | None = None) -> Job:
    """Return a walk at another budget or number of steps; without a budget one step shows that it stays."""
    sizes = {across: at} | ({"steps": 1} if across == "epsilon" and at == 0 else {})
    attack = replace(walk.attack, **sizes)  # type: ignore[arg-type]
    return Job(subject, f"{across} {at:g}", attack, subject.aimed(), count, given)


def _point(
    subject: Subject, walk: SuiteAttack, across: Literal["steps", "epsilon"], at: float, outcome: Outcome, won: Tensor
) -> CurvePoint:
    """Return the point of a curve where images (n,) are won."""
    return CurvePoint(
        **_of(subject),
        attack=walk.name,
        across=across,
        at=at,
        n_right=int(outcome.right_before.sum()),
        sr_at_5=outcome.among_right(won),
    )


def _shortest(outcomes: Sequence[Outcome], norm: str, count: int) -> Tensor:
    """Return the shortest change (n,) by which some attack wins an image; infinite where none does."""
    nothing = torch.full((count,), torch.inf, dtype=torch.float64)
    return torch.stack([nothing, *(_lengths(outcome, norm)[:count] for outcome in outcomes)]).amin(0)


def smallest_rows(
    attacker: Attacker,
    subjects: Sequence[Subject],
    suite: Sequence[Outcome],
    steps: int,
    count: int,
    norm: Literal["linf", "l2"] = "linf",
) -> Iterator[Smallest]:
    """Yield the smallest budgets at which each detector's images are won.

    Args:
        attacker: Holds the images.
        subjects: The detectors.
        suite: Outcomes of the suite's attacks on them, which count for the bound.
        steps: Steps of the suite's walks; each of the four walks here has half of them.
        count: Attacked images, the first ones.
        norm: Norm of the budgets.
    """
    attack = JointFMN(norm=norm, steps=max(1, steps // 2), targeted=attacker.targeted)
    jobs = [Job(subject, "joint_fmn", attack, subject.aimed(), count) for subject in subjects]
    for subject, found in zip(subjects, attacker.outcomes(jobs), strict=True):
        rest = [outcome for outcome in suite if outcome.contender is subject.contender]
        alone, of_any = (_shortest(outcomes, norm, count) for outcomes in ([found], [found, *rest]))
        yield Smallest(
            **_of(subject),
            attack="JointFMN",
            norm=norm,
            n_right=int(found.right_before.sum()),
            budgets=_finite(alone),
            bounds=_finite(of_any),
            forward_passes=found.costs["forward_passes"],
            backward_passes=found.costs["backward_passes"],
        )


def _lengths(outcome: Outcome, norm: str) -> Tensor:
    """Return how far each image was moved (n,) where it is won; infinite where it is not."""
    lengths: Tensor = getattr(outcome, norm).double()
    return lengths.masked_fill(~outcome.fooled(WORKING_RATE), torch.inf)


def _finite(lengths: Tensor) -> list[float]:
    found: list[float] = lengths[lengths.isfinite()].sort().values.tolist()
    return found


def price_rows(attacker: Attacker, subjects: Sequence[Subject], steps: int, count: int) -> Iterator[Price]:
    """Yield for each detector the L2 of DDN against the classifier alone, and against both."""
    attacks = {"ddn": DDN, "joint_ddn": JointDDN}
    jobs = [
        Job(subject, name, attack(steps=steps, targeted=attacker.targeted), subject.aimed(), count)
        for name, attack in attacks.items()
        for subject in subjects
    ]
    outcomes = attacker.outcomes(jobs)
    for place, subject in enumerate(subjects):
        alone, both = outcomes[place :: len(subjects)]
        paid = alone.right_before & alone.reached & both.fooled(WORKING_RATE)
        ratios = spread_of((both.l2 / alone.l2)[paid])
        yield Price(
            **_of(subject),
            n_right=int(alone.right_before.sum()),
            n_both=int(paid.sum()),
            success_alone=alone.among_right(alone.reached),
            sr_at_5_alone=alone.success(WORKING_RATE),
            sr_at_5=both.success(WORKING_RATE),
            median_l2_alone=spread_of(alone.l2[paid])["median"],
            median_l2=spread_of(both.l2[paid])["median"],
            ratio_q25=ratios["q25"],
            ratio_median=ratios["median"],
            ratio_q75=ratios["q75"],
        )


class _Of(TypedDict):
    detector: str
    phase: str
    seed: int | None


def _of(subject: Subject) -> _Of:
    return {"detector": subject.name, "phase": subject.phase, "seed": subject.contender.seed}
