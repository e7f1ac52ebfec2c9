"""The records of the museum: a published break, its effect here, and the rule from both to a verdict."""

from dataclasses import dataclass
from typing import Final, Literal

from experiments.results.bootstrap import Interval
from experiments.results.verdicts import FEWEST

Verdict = Literal[
    "broken as published",
    "broken here, by another attack",
    "not broken here",
    "not decided",
    "open (no break published)",
]

MARGIN: Final = 0.1
"""Largest shortfall of our share of images won below the published one."""

ENOUGH: Final = 0.5
"""Share of images won that is asked for where the published figure could not be checked."""

AT_MOST: Final = 2.0
"""L2 of an attack on both networks over that on the classifier alone, up to which an image counts as won."""


@dataclass(frozen=True)
class Exhibit:
    """A published break and its effect here; see `FIELDS`."""

    detector: str
    class_path: str
    paper: str
    where: str
    published_attack: str
    published_data: str
    published_success: float | None
    checked: str
    way: str | None
    n: int
    n_right: int
    auroc: float | None
    tpr_at_5_fpr: float | None
    sr_at_5: float | None
    sr_at_5_low: float | None
    sr_at_5_high: float | None
    l2_ratio: float | None
    worst_sr_at_5: float | None
    forward_passes: float | None
    backward_passes: float | None
    verdict: Verdict


FIELDS: Final = {
    "published_success": "share of images won, as published; null: not checked, or nothing is published",
    "checked": "where that figure was looked up",
    "way": "our attack that stands for the published one",
    "n, n_right": "test images attacked; those classified right before, the denominator of SR@5",
    "auroc, tpr_at_5_fpr": "on attacks that do not know the detector, the run's own, a mean over them",
    "sr_at_5": "of n_right, those misclassified and accepted at 5 % false positives under our attack; 95 % interval of "
    "Clopper and Pearson",
    "l2_ratio": "median L2 of the images won over that of the attack on the classifier alone (shortest only)",
    "worst_sr_at_5": "the same share, won by any attack of the white-box suite or by our attack",
    "forward_passes, backward_passes": "of our attack, per image",
}


def asked(success: float | None) -> float:
    """Return the share of images that must be won for a break to count as reproduced."""
    return ENOUGH if success is None else success - MARGIN


def verdict(
    ours: Interval | None, worst: Interval | None, n_right: int, *, published: bool, success: float | None
) -> Verdict:
    """Return the verdict on a published break.

    Args:
        ours: Share of images won by the attack that stands for the published one; None: not measured.
        worst: Share won by any attack.
        n_right: Images that could be won.
        published: Whether a break is published.
        success: The published share; None: not checked, then `ENOUGH` is asked for.
    """
    if not published:
        return "open (no break published)"
    if ours is None or worst is None or n_right < FEWEST:
        return "not decided"
    level = asked(success)
    if ours.low > level:
        return "broken as published"
    if worst.low > level:
        return "broken here, by another attack"
    return "not broken here" if worst.high < level else "not decided"
