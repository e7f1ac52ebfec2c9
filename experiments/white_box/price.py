"""The price of detection: how much further an attack of minimal norm must go to fool the detector as well."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from attacks import DDN, JointDDN, norms
from experiments.measures import WORKING_RATE
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
        ratios = (longer / lengths)[paid]
        yield {
            "detector": subject.name,
            "phase": subject.phase,
            "seed": subject.contender.seed,
            "n_right": int(alone.right_before.sum()),
            "n_both": int(paid.sum()),
            "success_alone": _share(alone.right_before & alone.wrong, alone.right_before),
            "sr_at_5_alone": alone.success(WORKING_RATE),
            "sr_at_5": both.success(WORKING_RATE),
            "median_l2_alone": _median(lengths[paid]),
            "median_l2": _median(longer[paid]),
            "ratio_q25": _quantile(ratios, 0.25),
            "ratio_median": _median(ratios),
            "ratio_q75": _quantile(ratios, 0.75),
        }


def _lengths(attacker: Attacker, found: Outcome) -> Tensor:
    return norms.l2(found.adversarial - attacker.sample.images[: len(found.adversarial)]).double()


def _share(chosen: Tensor, among: Tensor) -> float | None:
    count = int(among.sum())
    return int(chosen.sum()) / count if count else None


def _median(values: Tensor) -> float | None:
    return _quantile(values, 0.5)


def _quantile(values: Tensor, share: float) -> float | None:
    return torch.quantile(values, share).item() if len(values) else None
