"""SR@5 of each detector's strongest attack against its steps and its budget, on fewer images and one seed."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from attacks import Attack
from attacks.white_box.walk import Walk
from experiments.measures import WORKING_RATE
from experiments.white_box.measured import Attacker, Outcome
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
