"""SR@5 of the strongest attack against its steps and its budget, on fewer images and one seed."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from experiments.measures import WORKING_RATE
from experiments.white_box.measured import Attacker, Outcome
from experiments.white_box.subjects import Subject
from experiments.white_box.suite import strongest, suite

STEPS: Final = (1, 3, 10, 30)
"""Beside the suite's own number."""

SHARES: Final = (0.0, 0.25, 0.5, 1.0, 2.0)
"""Budgets, in parts of the suite's."""


def curve_rows(
    attacker: Attacker, subjects: Sequence[Subject], epsilon: float, steps: int, count: int
) -> Iterator[dict[str, Any]]:
    """Yield records of `across` (steps or epsilon), `at`, and what the attack reaches there.

    Args:
        attacker: Of the sample.
        subjects: Whom to attack.
        epsilon: The suite's budget.
        steps: Of the suite's walks.
        count: Images of the sample.
    """
    for subject in subjects:
        parts = bool(subject.parts(attacker.sample.images[:1].to(attacker.study.device)))
        attack = strongest(suite(epsilon, steps, parts=parts, ours=False)).attack
        wanted: list[tuple[str, float]] = [
            ("steps", number) for number in sorted({*(each for each in STEPS if each < steps), steps})
        ]
        wanted += [("epsilon", size) for size in sorted({*(min(1.0, share * epsilon) for share in SHARES), 1.0})]
        for across, at in wanted:
            changed = replace(attack, **{across: at})  # type: ignore[arg-type]
            found = attacker.outcome(subject, f"{across} {at:g}", changed, subject.aimed(), count)
            yield {
                "detector": subject.name,
                "phase": subject.phase,
                "seed": subject.contender.seed,
                "across": across,
                "at": at,
                "n_right": int(found.right_before.sum()),
                "sr_at_5": found.success(WORKING_RATE),
                "fooled": _fooled(found),
            }


def _fooled(found: Outcome) -> float | None:
    """Return the share of the images right before that are wrong after, rejected or not."""
    count = int(found.right_before.sum())
    return int((found.right_before & found.wrong).sum()) / count if count else None
