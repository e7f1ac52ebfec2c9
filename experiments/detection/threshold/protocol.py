"""`evaluate.py threshold`: detection against the size of the perturbation (Schut & Gal, 2020: threshold behaviour)."""

from collections.abc import Sequence
from typing import Final

from attacks.errors import InputError
from experiments.detection.threshold.crossings import FEWEST_PAIRS, crossings_of
from experiments.detection.threshold.flags import flags_of
from experiments.detection.threshold.measure import measure_threshold, swept_attacks
from experiments.detection.threshold.tables import chart, finding, tables_of
from experiments.results.levels import DETECTED
from experiments.results.records import flat
from experiments.results.result import Result
from experiments.study.budgets import is_linf, unusual
from experiments.study.metrics import metrics_of
from experiments.study.study import Study

EPSILONS: Final = [0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3]


def threshold(study: Study, *, epsilons: list[float] = EPSILONS, resamples: int = 1000) -> Result:
    """Return how well each detector finds its own attack at other sizes of the perturbation.

    Args:
        study: A run with trained detectors.
        epsilons: L-inf budgets in [0, 1].
        resamples: Bootstrap resamples of the intervals.
    """
    sizes, swept = _checked(epsilons), swept_attacks(study)
    records = measure_threshold(study, swept, sizes, resamples)
    rows, crossings = records.rows, crossings_of(records)
    trained_at = {name: attack.epsilon for name, attack in swept.items()}  # type: ignore[attr-defined]
    norms = {"L-inf" if is_linf(attack) else "L2" for attack in swept.values()}
    meta = study.meta() | {
        "fields": {
            "attack": "that is run at `epsilon`; a trained detector was trained on it at the run's own",
            "subset": "all: every pair; successful: right before, wrong after",
            "n": "pairs in the subset",
            **{metric.key: metric.meaning for metric in metrics_of("threshold")},
            "median_l2, median_rms": "of the change, over the subset",
            "attack_success_rate": "of the images that the classifier gets right (right_before), those that the attack "
            "turns wrong",
        },
        "level": DETECTED,
        "fewest_pairs": FEWEST_PAIRS,
        "resamples": resamples,
        "noise_ratios": records.noise_ratios,
        "crossings": crossings,
        "smallest": min(size for size in sizes if size > 0),
    }
    return Result(
        protocol="threshold",
        title="Detection against the size of the perturbation",
        question="Is there a perturbation size below which a detector, trained at one epsilon, no longer finds its own "
        "attack?",
        finding=finding(crossings, meta),
        meta=meta,
        rows=list(map(flat, rows)),
        tables=tables_of(rows, crossings, meta),
        figures={"": chart(rows, trained_at, norms, meta)},
        flags=flags_of(records, unusual(swept, study.images.clean.shape[1])),
    )


def _checked(epsilons: Sequence[float]) -> list[float]:
    if not all(0 <= epsilon <= 1 for epsilon in epsilons) or not any(epsilons):  # NaN is refused as well
        msg = f"epsilons must lie in [0, 1] and not all be 0, got {list(epsilons)}"
        raise InputError(msg)
    return sorted(set(map(float, epsilons)))
