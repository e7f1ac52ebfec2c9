"""SR@5 of each detector's strongest attack against its steps and its budget, and the price of detection."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from torch import Tensor

from attacks import DDN, Attack, JointDDN, norms
from attacks.white_box.walk import Walk
from experiments.results.two_samples import spread_of
from experiments.study.metrics import WORKING_RATE
from experiments.white_box.attacker import Attacker, Outcome
from experiments.white_box.subjects import Subject
from experiments.white_box.suite import Entry

STEPS: Final = (1, 3, 10, 30)
"""Beside the suite's own number."""

SHARES: Final = (0.0, 0.25, 0.5, 1.0, 2.0)
"""Budgets, in parts of the suite's."""


def strongest(found: Sequence[tuple[Entry, Outcome]]) -> Entry:
    """Return the walk of the suite that won most on a detector; the earlier of equals.

    Args:
        found: The attacks on it, at least one of them a walk aimed at the false-positive rate.
    """
    walks = [each for each in found if each[0].kind == "gradient" and isinstance(each[0].attack, Walk)]
    return max(walks, key=lambda each: each[1].success(WORKING_RATE) or 0.0)[0]


def curve_rows(
    attacker: Attacker, wanted: Sequence[tuple[Subject, Entry]], epsilon: float, steps: int, count: int
) -> Iterator[dict[str, Any]]:
    """Yield records of `across` (steps or epsilon), `at`, and what an attack reaches there.

    Args:
        attacker: Of the sample.
        wanted: Whom to attack, and by which walk.
        epsilon: The suite's budget.
        steps: Of the suite's walks.
        count: Images of the sample.
    """
    numbers = sorted({*(each for each in STEPS if each < steps), steps})
    sizes = sorted({*(min(1.0, share * epsilon) for share in SHARES), 1.0})
    for subject, entry in wanted:
        variants: list[tuple[str, float, Attack]] = [
            ("steps", number, replace(entry.attack, steps=number))  # type: ignore[call-arg]
            for number in numbers
        ]
        variants += [("epsilon", size, replace(entry.attack, epsilon=size)) for size in sizes]  # type: ignore[call-arg]
        for across, at, changed in variants:
            found = attacker.outcome(subject, f"{across} {at:g}", changed, subject.aimed(), count)
            yield {
                "detector": subject.name,
                "phase": subject.phase,
                "seed": subject.contender.seed,
                "attack": entry.name,
                "across": across,
                "at": at,
                "n_right": int(found.right_before.sum()),
                "sr_at_5": found.success(WORKING_RATE),
                "fooled": found.classifier_success,
            }


def price_rows(attacker: Attacker, subjects: Sequence[Subject], steps: int, count: int) -> Iterator[dict[str, Any]]:
    """Yield a record for each detector: L2 of DDN against the classifier alone, and against both.

    Args:
        attacker: Of the sample.
        subjects: Whom to attack.
        steps: Of both attacks.
        count: Images of the sample.
    """
    for subject in subjects:
        aim = subject.aimed()
        alone = attacker.outcome(subject, "ddn", DDN(steps=steps), aim, count)
        both = attacker.outcome(subject, "joint_ddn", JointDDN(steps=steps), aim, count)
        lengths, longer = _lengths(attacker, alone), _lengths(attacker, both)
        paid = alone.right_before & alone.wrong & both.fooled(WORKING_RATE)
        ratios = spread_of((longer / lengths)[paid])
        yield {
            "detector": subject.name,
            "phase": subject.phase,
            "seed": subject.contender.seed,
            "n_right": int(alone.right_before.sum()),
            "n_both": int(paid.sum()),
            "success_alone": alone.classifier_success,
            "sr_at_5_alone": alone.success(WORKING_RATE),
            "sr_at_5": both.success(WORKING_RATE),
            "median_l2_alone": spread_of(lengths[paid])["median"],
            "median_l2": spread_of(longer[paid])["median"],
            **{f"ratio_{name}": ratios[name] for name in ("q25", "median", "q75")},
        }


def _lengths(attacker: Attacker, found: Outcome) -> Tensor:
    return norms.l2(found.adversarial - attacker.sample.images[: len(found.adversarial)]).double()
