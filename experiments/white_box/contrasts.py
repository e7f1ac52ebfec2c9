"""The differences between attacks that the paper's claims are about, paired by image, with their intervals."""

from collections.abc import Sequence
from typing import Any, Final

from torch import Tensor

from experiments.results.bootstrap import Resampling, interval
from experiments.white_box.attacker import Outcome
from experiments.white_box.subjects import BEFORE

LONGER: Final = "more iterations"
MIX: Final = "alternation - Metzen's mix"

_PAIRS: Final = {LONGER: ("alternating_long", "alternating"), MIX: ("alternating", "metzen")}


def contrasts(outcomes: Sequence[Outcome], resampling: Resampling) -> list[dict[str, Any]]:
    """Return for each trained detector, before retraining, what one attack wins more than another at probability .5.

    Args:
        outcomes: Of every detector and attack.
        resampling: Of the images.

    Returns:
        Records of name ("spd, more iterations"), detector, value, low and high: means over seeds of the difference in
        the share of images, right before, that are misclassified and accepted.
    """
    found = []
    learnt = [each for each in outcomes if each.subject.phase == BEFORE and each.subject.learnt]
    for detector in dict.fromkeys(each.subject.name for each in learnt):
        for name, (first, second) in _PAIRS.items():
            pairs = [[_at(learnt, detector, seed, attack) for attack in (first, second)] for seed in _seeds(learnt)]
            known = [(a, b) for a, b in pairs if a is not None and b is not None and a.right_before.any()]
            if known:
                values = [(a.success(None) or 0.0) - (b.success(None) or 0.0) for a, b in known]
                replicates = [_replicates(a, resampling) - _replicates(b, resampling) for a, b in known]
                ends = interval(sum(values) / len(values), resampling.over_seeds(replicates))
                told = {"value": ends.value, "low": ends.low, "high": ends.high}
                found.append({"name": f"{detector}, {name}", "detector": detector, **told})
    return found


def _seeds(outcomes: Sequence[Outcome]) -> list[int | None]:
    return list(dict.fromkeys(each.subject.contender.seed for each in outcomes))


def _at(outcomes: Sequence[Outcome], detector: str, seed: int | None, attack: str) -> Outcome | None:
    wanted = (detector, seed, attack)
    return next((e for e in outcomes if (e.subject.name, e.subject.contender.seed, e.attack) == wanted), None)


def _replicates(outcome: Outcome, resampling: Resampling) -> Tensor:
    return resampling.ratio(outcome.fooled(None), outcome.right_before)
