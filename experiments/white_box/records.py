"""The records of the white-box protocol: rows of attacks, curves, prices, and the measurements for flags."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from experiments.results.bootstrap import Interval, clopper_pearson, mean_of_seeds
from experiments.results.records import mean_known

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
    "image_by_image": "of each detector, numbers of the n images, the first is 0: right before; of these, fooled: some "
    "attack reaches the goal, accepted or not; lost: some attack wins at 5 % FPR",
}

COSTS: Final = ("forward_passes", "backward_passes", "seconds")

Rows = Sequence[Mapping[str, Any]]


class GradientCheck(NamedTuple):
    """The shares of clean images where the gradient of the quantity `name` is all zero, and where it is not finite."""

    name: str
    phase: str
    seed: int | None
    zero: float
    broken: float


class Remedied(NamedTuple):
    """A remedy, a class of `attacks`, under which a detector was attacked again, and the reason.

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
        span: The smallest and the largest pixel value of all adversarial images.
        longest_retrained: Steps of the longest walk against a retrained detector; None: no detector was retrained.
        not_finite: Numbers of clean and of attacked images whose scores are not finite, by detector; sound detectors
            are left out.
        gradients: Checks of the gradients of each detector's score, and of the classifier's margin beside it.
        undetermined: Names of the detectors whose scores differ between calls.
        self_test_fooled: Images of the self-test that fool the classifier.
        self_test_accepted: Share of these that the broken detector accepts.
    """

    span: tuple[float, float]
    longest_retrained: int | None
    not_finite: Mapping[str, tuple[int, int]]
    gradients: Sequence[GradientCheck]
    undetermined: Sequence[str]
    self_test_fooled: int
    self_test_accepted: float


@dataclass(frozen=True, kw_only=True)
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
    sr_at_50: float | None = None
    fooled_both: float | None = None
    attack_success_rate: float | None = None
    classifier_accuracy: float | None = None
    detector_accuracy: float | None = None
    robust_accuracy: float | None = None
    auroc: float | None = None
    clean_right_and_accepted: float
    realised_fpr: float | None
    linf: float | None = None
    l2: float | None = None
    forward_passes: float
    backward_passes: float
    seconds: float
    n_given: int
    n_won_first: int | None


@dataclass(frozen=True)
class CurvePoint:
    """The success against a detector: of its strongest walk at a number of steps, or within a budget.

    Within a budget, an image counts that the suite, or the walk at a smaller budget, has won as well.

    Attributes:
        across: steps or epsilon.
        at: The number of steps, or the budget.
    """

    detector: str
    phase: str
    seed: int | None
    attack: str
    across: str
    at: float
    n_right: int
    sr_at_5: float | None


@dataclass(frozen=True)
class Price:
    """How far an attack of minimal norm goes in L2, alone against the classifier and against both networks.

    Attributes:
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
    """All measurements; curves, smallest budgets and prices may be empty.

    Attributes:
        rows: Rows of the protocol, fields of `Row`.
        most_passes: The most passes forward and backward that an image costs, beside curves and prices.
        about: A description of each attack, by name.
        curves: Fields of `CurvePoint`.
        smallest: Smallest budgets, fields of `smallest.Smallest`.
        prices: Prices of detection, fields of `Price`.
        contrasts: Differences between attacks, from `contrasts.contrasts`.
        image_by_image: The images that each detector loses, from `outcomes.image_by_image`.
    """

    rows: list[dict[str, Any]]
    most_passes: tuple[int, int]
    about: Mapping[str, str]
    curves: list[dict[str, Any]]
    smallest: list[dict[str, Any]]
    prices: list[dict[str, Any]]
    contrasts: list[dict[str, Any]]
    image_by_image: list[dict[str, Any]]
    checks: Checks
    remedies: Sequence[Remedied] = ()


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
    measured = [row for row in rows if row["sr_at_5"] is not None]
    return mean_of_seeds(list(map(_rate_of, measured))) if measured else None


def _rate_of(row: Mapping[str, Any]) -> Interval:
    rate = Interval(row["sr_at_5"], row["sr_at_5_low"], row["sr_at_5_high"])
    return clopper_pearson(rate.value, row["n_right"]) if rate.low == rate.high else rate
