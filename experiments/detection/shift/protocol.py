"""`evaluate.py shift`: does an attack move a map as far as another image would (Schut & Gal, 2020, Table 1)?"""

from experiments.detection.shift.measure import measure_shift
from experiments.detection.shift.tables import charts, finding, flags_of, table
from experiments.results.result import Result
from experiments.results.two_samples import NEGLIGIBLE
from experiments.study.study import Study


def shift(study: Study, *, pairs: int | None = None, resamples: int = 1000) -> Result:
    """Return the shift of maps under each attack, beside the controls that show its cause.

    Args:
        study: A run with a trained classifier and, if it has one, a trained saliency model.
        pairs: Largest number of pairs per sample; null: all test images.
        resamples: Bootstrap resamples of the intervals.
    """
    records = measure_shift(study, pairs, resamples)
    rows = [row for kind in records for row in kind.rows]
    return Result(
        protocol="shift",
        title="Shift of saliency maps under attack",
        question="Is the L2 distance between the saliency maps of a natural image and of its adversarial image as "
        "large as between the maps of different natural images, and what causes it?",
        finding=finding(records, rows),
        meta=study.meta() | {"pairs": pairs, "resamples": resamples, "negligible": list(NEGLIGIBLE)},
        rows=rows,
        tables=[table(kind, rows) for kind in records],
        figures=charts(records),
        flags=flags_of(records),
    )
