"""The outcome of an attack on a detector, its row, and the worst case of several."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from detectors import metrics
from experiments.results.bootstrap import Resampling, interval
from experiments.results.levels import WORKING_RATE
from experiments.study.contenders import Contender
from experiments.study.metrics import accepted, limit, rate_flagged
from experiments.white_box.records import COSTS, LENIENT_RATE, WORST, Row


@dataclass(frozen=True)
class Outcome:
    """The outcome of an attack on one detector, computed anew from the adversarial images.

    Attributes:
        learnt: Whether score 0 is probability .5.
        steps: Steps of one of its walks; None: it has none.
        right_before: (n,) bool, classified right before the attack.
        wrong: (n,) bool, classified wrong after it.
        reached: (n,) bool, where the attack reached its goal: wrong or, if it is targeted, classified as the target.
        scores: (n,) of the adversarial images.
        clean_scores: (n,) of the clean images.
        linf: (n,), how far the attack moved each image.
        l2: (n,) in float64, likewise.
        span: The smallest and the largest value of the adversarial images.
        costs: The mean per image of each of `COSTS`; an image that the attack did not get counts with 0.
        given: (n,) bool, the images that the attack got in a cascade; None: it got all, outside of a cascade.
        won_first: (n,) bool, the images, right before, that it won before all others; None: it takes no part in one.
    """

    contender: Contender
    phase: str
    learnt: bool
    attack: str
    steps: int | None
    right_before: Tensor
    wrong: Tensor
    reached: Tensor
    scores: Tensor
    clean_scores: Tensor
    linf: Tensor
    l2: Tensor
    span: tuple[float, float]
    costs: Mapping[str, float]
    given: Tensor | None = None
    won_first: Tensor | None = None

    def fooled(self, false_positive_rate: float | None) -> Tensor:
        """Return which images (n,), right before, reach the goal and are accepted at a rate; None: probability .5."""
        threshold = 0.0 if false_positive_rate is None else limit(self.contender, false_positive_rate)
        passed = torch.ones_like(self.reached) if threshold is None else self.scores <= threshold
        return self.right_before & self.reached & passed

    def success(self, false_positive_rate: float | None) -> float | None:
        """Return the share of the images right before that `fooled` names; None if there are none."""
        return self.among_right(self.fooled(false_positive_rate))

    def among_right(self, chosen: Tensor) -> float | None:
        """Return the share of some images (n,) among those that were right before; None if there are none."""
        count = int(self.right_before.sum())
        return int((self.right_before & chosen).sum()) / count if count else None


def row(outcome: Outcome, resampling: Resampling) -> Row:
    """Return the row of an attack on a detector."""
    clean, attacked = outcome.clean_scores, outcome.scores
    record = replace(
        worst_row([outcome], resampling),
        attack=outcome.attack,
        linf=outcome.linf.amax().item(),
        l2=outcome.l2.amax().item(),
        n_given=len(attacked) if outcome.given is None else int(outcome.given.sum()),
        n_won_first=None if outcome.won_first is None else int(outcome.won_first.sum()),
    )
    if outcome.given is not None:
        return replace(record, sr_at_5=None, sr_at_5_low=None, sr_at_5_high=None, attack_success_rate=None)
    accuracy = metrics.balanced_accuracy(clean, attacked) if outcome.learnt else None
    return replace(record, detector_accuracy=accuracy, auroc=metrics.auroc(clean, attacked))


def worst_row(outcomes: Sequence[Outcome], resampling: Resampling) -> Row:
    """Return the row of the worst case, image by image, over all attacks on one detector.

    A cascade yields SR@5, and the share of images that reach the goal, accepted or not: later attacks did not get the
    images won at 5 % false positives, which reach it.

    Args:
        outcomes: Outcomes on one detector and the same images, at least one.
        resampling: Draws of the images.
    """
    first = outcomes[0]
    contender, right = first.contender, first.right_before
    fooled = {rate: _any(outcome.fooled(rate) for outcome in outcomes) for rate in (WORKING_RATE, LENIENT_RATE, None)}
    value = first.among_right(fooled[WORKING_RATE])
    ends = None if value is None else interval(value, resampling.ratio(fooled[WORKING_RATE], right))
    beside: dict[str, Any] = {name: sum(outcome.costs[name] for outcome in outcomes) for name in COSTS}
    if all(outcome.given is None for outcome in outcomes):
        passed = [outcome.wrong & accepted(contender, outcome.scores) for outcome in outcomes]
        beside |= {
            "sr_at_50": first.among_right(fooled[LENIENT_RATE]),
            "fooled_both": first.among_right(fooled[None]) if first.learnt else None,
            "classifier_accuracy": 1 - _share(_any(outcome.wrong for outcome in outcomes)),
            "robust_accuracy": 1 - _share(_any(passed)),
        }
    return Row(
        detector=contender.name,
        phase=first.phase,
        trained_on=contender.trained_on,
        seed=contender.seed,
        attack=WORST,
        n=len(right),
        n_right=int(right.sum()),
        sr_at_5=value,
        sr_at_5_low=None if ends is None else ends.low,
        sr_at_5_high=None if ends is None else ends.high,
        attack_success_rate=first.among_right(_any(outcome.reached for outcome in outcomes)),
        clean_right_and_accepted=_share(right & accepted(contender, first.clean_scores)),
        realised_fpr=rate_flagged(contender, first.clean_scores),
        n_given=len(right),
        n_won_first=int(fooled[WORKING_RATE].sum()),
        **beside,
    )


def image_by_image(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return a detector and the numbers of its images: those right before, of these those fooled, and those lost."""
    first = outcomes[0]
    numbers = {
        "right": first.right_before,
        "fooled": first.right_before & _any(outcome.reached for outcome in outcomes),
        "lost": _any(outcome.fooled(WORKING_RATE) for outcome in outcomes),
    }
    about = {"detector": first.contender.name, "phase": first.phase, "seed": first.contender.seed}
    return about | {name: mask.nonzero().flatten().tolist() for name, mask in numbers.items()}


def _any(masks: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(masks)).any(0)


def _share(mask: Tensor) -> float:
    return mask.double().mean().item()
