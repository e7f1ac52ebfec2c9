"""Measures published detectors under our equivalents of the published attacks."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median

from torch import Tensor

from attacks import BIM, DDN, Attack, HingedPGD, JointDDN, Matching, StraightThrough
from detectors import metrics
from experiments.museum.published import Break, Way
from experiments.museum.records import AT_MOST, Exhibit, verdict
from experiments.results.bootstrap import Interval, clopper_pearson
from experiments.results.levels import WORKING_RATE
from experiments.results.records import mean_known
from experiments.study.contenders import Contender
from experiments.study.metrics import rate_flagged
from experiments.study.ranks import first
from experiments.study.study import Study
from experiments.white_box.attacker import Attacker, Subject
from experiments.white_box.forecast import forecast
from experiments.white_box.outcomes import Outcome
from experiments.white_box.suite import GUIDES, PART_WEIGHTS, SuiteAttack


def attacks_of(epsilon: float, steps: int, guides: Tensor) -> dict[Way, Attack]:
    """Return our equivalents of the published attacks, by the keys of `WAYS`.

    Args:
        epsilon: L-inf budget.
        steps: Steps of each walk.
        guides: (M, C, H, W), clean images that the attacker has.
    """
    hinged = HingedPGD(epsilon=epsilon, steps=steps)
    return {
        "shortest": JointDDN(steps=steps),
        "hinged": hinged,
        "parts": HingedPGD(epsilon=epsilon, steps=steps, part_weights=PART_WEIGHTS),
        "straight_through": StraightThrough(attack=hinged),
        "matching": Matching(epsilon=epsilon, steps=steps, guides=guides),
        "confident": BIM(epsilon=epsilon, step_size=2.5 * epsilon / steps, steps=steps),
    }


def measure_breaks(
    study: Study,
    attacker: Attacker,
    exhibits: Sequence[tuple[Break, Subject]],
    won_by_suite: Mapping[str, Tensor],
    epsilon: float,
    steps: int,
) -> Iterator[Exhibit]:
    """Yield the record of each break; print the attacks' largest number of passes beforehand.

    Args:
        study: The run under evaluation.
        attacker: Holds the images.
        exhibits: The breaks, each with the detector as built here.
        won_by_suite: (n,) bool, which images the white-box suite wins, by the detector's name.
        epsilon: L-inf budget.
        steps: Steps of each walk.
    """
    attacks = attacks_of(epsilon, steps, study.calibration_images(GUIDES).images)
    planned = [(s, [SuiteAttack(b.way, attacks[b.way], "gradient", "")]) for b, s in exhibits if b.way is not None]
    if planned:
        sentence = first(lambda: forecast(attacker, planned, "The published breaks make")[1])
        study.progress.console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    for exhibit, subject in study.progress.track(exhibits, description="published breaks"):
        outcome = alone = None
        if exhibit.way is not None:
            outcome = attacker.outcome(subject, exhibit.way, attacks[exhibit.way], subject.aimed())
        if exhibit.way == "shortest":
            alone = attacker.outcome(subject, "ddn", DDN(steps=steps), subject.aimed())
        yield _exhibit(study, attacker, exhibit, subject, outcome, alone, won_by_suite[subject.name])


def _exhibit(
    study: Study,
    attacker: Attacker,
    entry: Break,
    subject: Subject,
    outcome: Outcome | None,
    alone: Outcome | None,
    by_suite: Tensor,
) -> Exhibit:
    right = attacker.right(subject)
    won, ratio = (None, None) if outcome is None else _won(outcome, alone)
    ours = None if won is None else _share(won, right)
    worst = _share(by_suite if won is None else by_suite | won, right)
    area, flagged = _unaware(study, subject.contender)
    return Exhibit(
        detector=subject.name,
        class_path=entry.detector,
        paper=entry.paper,
        where=entry.where,
        published_attack=entry.attack,
        published_data=entry.data,
        published_success=entry.success,
        checked=entry.checked,
        way=entry.way,
        n=len(right),
        n_right=int(right.sum()),
        auroc=area,
        tpr_at_5_fpr=flagged,
        sr_at_5=None if ours is None else ours.value,
        sr_at_5_low=None if ours is None else ours.low,
        sr_at_5_high=None if ours is None else ours.high,
        l2_ratio=ratio,
        worst_sr_at_5=None if worst is None else worst.value,
        forward_passes=None if outcome is None else outcome.costs["forward_passes"],
        backward_passes=None if outcome is None else outcome.costs["backward_passes"],
        verdict=verdict(ours, worst, int(right.sum()), published=bool(entry.paper), success=entry.success),
    )


def _won(outcome: Outcome, alone: Outcome | None) -> tuple[Tensor, float | None]:
    """Return which images (n,) count as won, and how much longer in L2 than against the classifier alone."""
    won = outcome.fooled(WORKING_RATE)
    if alone is None:
        return won, None
    ratios = outcome.l2 / alone.l2
    won = won & alone.reached & (ratios <= AT_MOST)
    return won, median(ratios[won].tolist()) if won.any() else None


def _share(won: Tensor, right: Tensor) -> Interval | None:
    count = int(right.sum())
    return clopper_pearson(int((won & right).sum()) / count, count) if count else None


def _unaware(study: Study, contender: Contender) -> tuple[float | None, float | None]:
    """Return the AUROC and the TPR at 5 % FPR on the run's attacks, means over these."""
    clean = study.images.scores(contender.module)
    attacked = [study.images.scores(contender.module, study.under(name)) for name in study.attacks]
    flagged = (rate_flagged(contender, scores) for scores in attacked)
    return mean_known(metrics.auroc(clean, scores) for scores in attacked), mean_known(flagged)
