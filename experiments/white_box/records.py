"""The records of the white-box protocol: the outcome of an attack, its row, and the worst case of several."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from detectors import metrics
from experiments.results.bootstrap import Interval, Resampling, clopper_pearson, interval, mean_of_seeds
from experiments.results.records import mean_known
from experiments.study.contenders import Contender
from experiments.study.metrics import WORKING_RATE, accepted, limit, rate_flagged

BEFORE: Final = "before"
AFTER: Final = "after"
WORST: Final = "worst case"

PAPER: Final = "alternating"
"""The main paper's attack: its two columns are measured under this one."""

LENIENT_RATE: Final = 0.5
"""The false-positive rate of SR@50."""

FALLEN: Final = 0.9
"""Worst-case SR@5 from which on a detector counts as fallen."""

NORMS: Final = {"linf": "L-inf", "l2": "L2"}
"""Names of norms in tables and charts."""

FIELDS: Final = {
    "phase": "before or after adversarial retraining",
    "n": "clean test images attacked, the first of the test split; labels are the true ones",
    "n_right": "of these, classified right before the attack: the denominator of the sr",
    "classifier_accuracy": "share of n classified right after the attack (the paper's column)",
    "detector_accuracy": "balanced, at probability .5, of the n clean and the n attacked (the paper's column); null "
    "for training-free detectors",
    "sr_at_5, sr_at_50": "attacker's success: of n_right, those that reach the goal and are accepted at 5 and 50 % FPR",
    "sr_at_5_low, sr_at_5_high": "95 % bootstrap interval over images",
    "fooled_both": "of n_right, those that reach the goal and are accepted at probability .5; null for training-free "
    "detectors",
    "attack_success_rate": "of n_right, those that reach the goal, accepted or not",
    "the goal": "untargeted: to be misclassified; targeted: to be classified as the target",
    "robust_accuracy": "share of n that is, after the attack, right or rejected at 5 % FPR",
    "clean_right_and_accepted": "share of n that is right and accepted at 5 % FPR without an attack",
    "realised_fpr": "of the 5 % threshold, on the n clean images",
    "auroc": "attacked against clean images",
    "forward_passes, backward_passes, seconds": "per image, mean",
    "n_given": "images that the attack got; fewer than n in the cascade (mode worst), whose attacks get only images, "
    "right before, that no attack above has won; their rates are null, for they would be those of a rest",
    "n_won_first": "of n_right, those that it wins at 5 % FPR and no attack above in the rows; null for the control",
    "linf, l2": "the largest change of an image",
    "worst case": "an image counts as lost if any attack of the suite wins it",
}

COSTS: Final = ("forward_passes", "backward_passes", "seconds")

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """The outcome of an attack on one detector, computed anew from the adversarial images.

    Attributes:
        contender: The detector.
        phase: before or after retraining.
        learnt: Whether score 0 is probability .5.
        attack: Name of the attack.
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
        first: (n,) bool, the images, right before, that it won before all others; None: it takes no part in one.
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
    first: Tensor | None = None

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


class GradientCheck(NamedTuple):
    """The shares of clean images where the gradient of the quantity `name` is all zero, and where it is not finite."""

    name: str
    phase: str
    seed: int | None
    zero: float
    broken: float


class Remedied(NamedTuple):
    """A remedy, by its class in `attacks`, under which a detector was attacked once more, and why.

    `parts` are those that --bpda names; empty: those that the detector declares, or the remedy has no parts.
    """

    detector: str
    phase: str
    seed: int | None
    remedy: str
    why: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Checks:
    """Measurements for the flags.

    Attributes:
        gradients: Checks of the gradients of each detector's score, and of the classifier's margin beside it.
        undetermined: Names of the detectors whose scores differ between calls.
        self_test_fooled: Images of the self-test that fool the classifier.
        self_test_accepted: Share of these that the broken detector accepts.
    """

    gradients: Sequence[GradientCheck]
    undetermined: Sequence[str]
    self_test_fooled: int
    self_test_accepted: float


@dataclass(frozen=True)
class Row:
    """An attack on a detector, or the worst case of several; see `FIELDS`."""

    detector: str
    phase: str
    trained_on: str | None
    seed: int | None
    attack: str
    n: int
    n_right: int
    sr_at_5: float | None
    sr_at_5_low: float | None
    sr_at_5_high: float | None
    sr_at_50: float | None
    fooled_both: float | None
    attack_success_rate: float | None
    classifier_accuracy: float | None
    detector_accuracy: float | None
    robust_accuracy: float | None
    auroc: float | None
    clean_right_and_accepted: float
    realised_fpr: float | None
    linf: float | None
    l2: float | None
    forward_passes: float
    backward_passes: float
    seconds: float
    n_given: int
    n_won_first: int | None


@dataclass(frozen=True)
class CurvePoint:
    """The success of a detector's strongest walk at a number of steps or a budget.

    Attributes:
        across: steps or epsilon.
        at: The number of steps, or the budget.
        fooled: The share of the images right before that reach the goal, accepted or not.
    """

    detector: str
    phase: str
    seed: int | None
    attack: str
    across: str
    at: float
    n_right: int
    sr_at_5: float | None
    fooled: float | None


@dataclass(frozen=True)
class Price:
    """How far an attack of minimal norm goes in L2, alone against the classifier and against both networks.

    Attributes:
        n_right: Images right before.
        n_both: Those that both attacks win; the lengths and their ratio are of these.
    """

    detector: str
    phase: str
    seed: int | None
    n_right: int
    n_both: int
    success_alone: float | None
    sr_at_5_alone: float | None
    sr_at_5: float | None
    median_l2_alone: float | None
    median_l2: float | None
    ratio_q25: float | None
    ratio_median: float | None
    ratio_q75: float | None


@dataclass(frozen=True)
class WhiteBoxRecords:
    """All that was measured; curves, smallest budgets and prices may be empty.

    Attributes:
        rows: Rows of the protocol, as `Row` has them.
        most_passes: The most passes forward and backward that an image costs, beside curves and prices.
        outcomes: Outcomes of every detector and attack.
        about: A description of each attack, by name.
        curves: As `CurvePoint` has them.
        smallest: Budgets, as `smallest.Smallest` has them.
        prices: Prices of detection, as `Price` has them.
        checks: Measurements for the flags.
        remedies: The remedies that were applied.
    """

    rows: list[dict[str, Any]]
    most_passes: tuple[int, int]
    outcomes: Sequence[Outcome]
    about: Mapping[str, str]
    curves: list[dict[str, Any]]
    smallest: list[dict[str, Any]]
    prices: list[dict[str, Any]]
    checks: Checks
    remedies: Sequence[Remedied] = ()


def row(outcome: Outcome, resampling: Resampling) -> Row:
    """Return the row of an attack on a detector."""
    clean, attacked = outcome.clean_scores, outcome.scores
    found = replace(
        worst_row([outcome], resampling),
        attack=outcome.attack,
        linf=outcome.linf.amax().item(),
        l2=outcome.l2.amax().item(),
        n_given=len(attacked) if outcome.given is None else int(outcome.given.sum()),
        n_won_first=None if outcome.first is None else int(outcome.first.sum()),
    )
    if outcome.given is not None:
        return replace(found, sr_at_5=None, sr_at_5_low=None, sr_at_5_high=None)
    accuracy = metrics.balanced_accuracy(clean, attacked) if outcome.learnt else None
    return replace(found, detector_accuracy=accuracy, auroc=metrics.auroc(clean, attacked))


def worst_row(outcomes: Sequence[Outcome], resampling: Resampling) -> Row:
    """Return the row of the worst case, image by image, over all attacks on one detector.

    A cascade yields SR@5 only: later attacks did not get the images won at 5 % false positives.

    Args:
        outcomes: Outcomes on one detector and the same images, at least one.
        resampling: Draws of the images.
    """
    first = outcomes[0]
    contender, right = first.contender, first.right_before
    fooled = {rate: _any(outcome.fooled(rate) for outcome in outcomes) for rate in (WORKING_RATE, LENIENT_RATE, None)}
    value = first.among_right(fooled[WORKING_RATE])
    ends = None if value is None else interval(value, resampling.ratio(fooled[WORKING_RATE], right))
    beside: dict[str, float | None] = dict.fromkeys(_BESIDE)
    if all(outcome.given is None for outcome in outcomes):
        passed = [outcome.wrong & accepted(contender, outcome.scores) for outcome in outcomes]
        beside = {
            "sr_at_50": first.among_right(fooled[LENIENT_RATE]),
            "fooled_both": first.among_right(fooled[None]) if first.learnt else None,
            "attack_success_rate": first.among_right(_any(outcome.reached for outcome in outcomes)),
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
        detector_accuracy=None,
        auroc=None,
        clean_right_and_accepted=_share(right & accepted(contender, first.clean_scores)),
        realised_fpr=rate_flagged(contender, first.clean_scores),
        linf=None,
        l2=None,
        n_given=len(right),
        n_won_first=int(fooled[WORKING_RATE].sum()),
        **beside,  # type: ignore[arg-type]
        **{name: sum(outcome.costs[name] for outcome in outcomes) for name in COSTS},
    )


_BESIDE: Final = ("sr_at_50", "fooled_both", "attack_success_rate", "classifier_accuracy", "robust_accuracy")
"""Fields that a cascade leaves undefined."""


def _any(masks: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(masks)).any(0)


def _share(mask: Tensor) -> float:
    return mask.double().mean().item()


def detectors_of(rows: Rows) -> list[tuple[str, str]]:
    """Return the detectors of some rows, each with its phase, in order."""
    return list(dict.fromkeys((row["detector"], row["phase"]) for row in rows))


def of(rows: Rows, detector: str, phase: str, attack: str) -> Rows:
    """Return the rows of an attack on a detector before or after retraining, one for each seed."""
    return [row for row in rows if (row["detector"], row["phase"], row["attack"]) == (detector, phase, attack)]


def mean_of(rows: Rows, name: str) -> float | None:
    """Return the mean of a field over rows; None where none has it."""
    return mean_known(row[name] for row in rows)


def rate_over_seeds(rows: Rows) -> Interval | None:
    """Return the mean SR@5 of rows, one for each seed, with its interval over images and seeds; None without any.

    Where all images are won, or none, resampling them gives no width, and Clopper and Pearson's interval stands for it.
    """
    known = [row for row in rows if row["sr_at_5"] is not None]
    return mean_of_seeds(list(map(_rate_of, known))) if known else None


def _rate_of(row: Mapping[str, Any]) -> Interval:
    rate = Interval(row["sr_at_5"], row["sr_at_5_low"], row["sr_at_5_high"])
    return clopper_pearson(rate.value, row["n_right"]) if rate.low == rate.high else rate
