"""Differences between attacks for the paper's claims, paired by image, with their intervals."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from experiments.results.bootstrap import Resampling, Statistic, over_seeds
from experiments.white_box.outcomes import Outcome
from experiments.white_box.records import BEFORE, PAPER

LONGER: Final = "more iterations"
MIX: Final = "alternation - Metzen's mix"

_PAIRS: Final = {LONGER: ("alternating_long", PAPER), MIX: (PAPER, "metzen")}


def contrasts(outcomes: Sequence[Outcome], resampling: Resampling) -> list[dict[str, Any]]:
    """Return how much more one attack wins than another at probability .5, for each trained detector.

    Args:
        outcomes: Outcomes of every detector and attack; those after retraining are ignored.
        resampling: Draws of the images.

    Returns:
        Records of name ("spd, more iterations"), detector, value, low and high: means over seeds of the difference in
        the share of images, right before, that are misclassified and accepted.
    """
    records = []
    learnt = [outcome for outcome in outcomes if outcome.phase == BEFORE and outcome.learnt]
    at = {(outcome.contender.name, outcome.contender.seed, outcome.attack): outcome for outcome in learnt}
    seeds = dict.fromkeys(outcome.contender.seed for outcome in learnt)
    for detector in dict.fromkeys(outcome.contender.name for outcome in learnt):
        for name, pair in _PAIRS.items():
            both = [[at.get((detector, seed, attack)) for attack in pair] for seed in seeds]
            known = [(a, b) for a, b in both if a is not None and b is not None and a.right_before.any()]
            if known:
                ends = over_seeds([_won(a, resampling).minus(_won(b, resampling)) for a, b in known]).interval
                records.append({"name": f"{detector}, {name}", "detector": detector, **asdict(ends)})
    return records


def _won(outcome: Outcome, resampling: Resampling) -> Statistic:
    """Return the share of images, right before, that an attack wins at probability .5."""
    replicates = resampling.ratio(outcome.fooled(None), outcome.right_before)
    return Statistic(outcome.success(None) or 0.0, replicates, int(outcome.right_before.sum()))
