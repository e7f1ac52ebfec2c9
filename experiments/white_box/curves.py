"""SR@5 of each detector against steps and budget, the smallest budget of each image, and the price of detection."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, Literal, TypedDict

import torch
from torch import Tensor

from attacks import DDN, JointDDN, JointFMN
from attacks.white_box.walk import Walk
from experiments.results.levels import WORKING_RATE
from experiments.results.two_samples import spread_of
from experiments.white_box.attacker import Attacker, Job, Subject
from experiments.white_box.outcomes import Outcome
from experiments.white_box.records import CurvePoint, Price
from experiments.white_box.smallest import Smallest
from experiments.white_box.suite import Norm, SuiteAttack, longest

STEPS: Final = (1, 3, 10, 30)
"""Numbers of steps in a curve, besides the suite's own."""

SHARES: Final = (0.0, 0.25, 0.5, 1.0, 2.0)
"""Budgets in a curve, as multiples of the suite's."""


def has_walk(attacks: Sequence[SuiteAttack]) -> bool:
    """Return whether some of the attacks is a walk aimed at the false-positive rate, whose curve can be drawn."""
    return any(member.kind == "gradient" and isinstance(member.attack, Walk) for member in attacks)


def strongest(outcomes: Sequence[tuple[SuiteAttack, Outcome]]) -> SuiteAttack:
    """Return the walk of the suite that won most on a detector; the earlier of equals.

    Args:
        outcomes: Attacks with their outcomes; at least one is a walk aimed at the false-positive rate.
    """
    walks = [pair for pair in outcomes if pair[0].kind == "gradient" and isinstance(pair[0].attack, Walk)]
    return max(walks, key=lambda each: each[1].success(WORKING_RATE) or 0.0)[0]


def curve_rows(
    attacker: Attacker,
    wanted: Sequence[tuple[Subject, SuiteAttack]],
    epsilon: float,
    steps: int,
    count: int,
    norm: Norm = "linf",
) -> Iterator[CurvePoint]:
    """Yield the success of each detector's walk at some numbers of steps, and at some budgets.

    Args:
        attacker: Holds the images.
        wanted: The detectors, each with a walk.
        epsilon: The suite's budget.
        steps: Steps of the suite's walks.
        count: Attacked images, the first ones.
        norm: Norm of the budgets.
    """
    most = longest(attacker.images, norm)
    places: dict[str, list[float]] = {
        "steps": sorted({*(number for number in STEPS if number < steps), steps}),
        "epsilon": sorted({*(min(most, share * epsilon) for share in SHARES), most}),
    }
    points = [(*each, across, at) for each in wanted for across, values in places.items() for at in values]
    jobs = [
        Job(subject, f"{across} {at:g}", replace(walk.attack, **{across: at}), subject.aimed(), count)  # type: ignore[arg-type]
        for subject, walk, across, at in points
    ]
    for (subject, walk, across, at), outcome in zip(points, attacker.outcomes(jobs), strict=True):
        yield CurvePoint(
            **_of(subject),
            attack=walk.name,
            across=across,
            at=at,
            n_right=int(outcome.right_before.sum()),
            sr_at_5=outcome.success(WORKING_RATE),
            fooled=outcome.among_right(outcome.reached),
        )


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
        lengths = torch.stack([_lengths(outcome, norm)[:count] for outcome in (found, *rest)])
        yield Smallest(
            **_of(subject),
            attack="JointFMN",
            norm=norm,
            n_right=int(found.right_before.sum()),
            budgets=_finite(lengths[0]),
            bounds=_finite(lengths.amin(0)),
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
