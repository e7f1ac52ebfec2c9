"""The price of detection: how much further an attack of minimal norm must go to fool the detector as well."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from attacks import DDN, JointDDN, norms
from experiments.measures import WORKING_RATE
from experiments.samples import spread_of
from experiments.white_box.measured import Attacker, Outcome
from experiments.white_box.subjects import Subject


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
