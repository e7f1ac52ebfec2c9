"""`evaluate.py corruptions`: false positives on benign changes of the images (Hendrycks & Dietterich, 2019)."""

from dataclasses import asdict

from attacks.checks import at_least
from data.corruptions import CORRUPTIONS, SEVERITIES
from detectors.calibration import threshold
from experiments.detection.corruptions.measure import measure_corruptions
from experiments.detection.corruptions.records import FIELDS
from experiments.detection.corruptions.tables import chart, finding, flags_of, tables_of
from experiments.errors import TooFewError
from experiments.results.levels import WORKING_RATE
from experiments.results.result import Result
from experiments.study.contenders import Contender
from experiments.study.study import Study
from experiments.training.settings_checks import check_choice


def corruptions(
    study: Study,
    *,
    images: int = 200,
    names: list[str] | None = None,
    rate: float = WORKING_RATE,
) -> Result:
    """Measure the false positives of each detector on corrupted images without an attack.

    Args:
        study: A run with trained detectors.
        images: Test images that are corrupted, the first ones.
        names: Names of the corruptions; null: all of `data.corruptions`.
        rate: False-positive rate of the thresholds, in (0, 1).
    """
    at_least(1, images=images)
    names = _names(names)
    detectors = [(contender, _threshold(contender, rate)) for contender in study.contenders]
    records, classes = measure_corruptions(study, names, images, detectors)
    rows, by_class = list(map(asdict, records)), list(map(asdict, classes))
    meta = study.meta() | {
        "fields": FIELDS,
        "attacked_images": records[0].n,
        "corruptions": names,
        "strengths": {name: dict(zip(SEVERITIES, CORRUPTIONS[name].strengths, strict=True)) for name in names},
        "meaning_of_strengths": {name: CORRUPTIONS[name].about for name in names},
        "rate": rate,
        "classes_of_rows": by_class,
    }
    title = f"Share of benign images flagged at {100 * rate:g} % false positives, {meta['data']}, {records[0].n} images"
    return Result(
        protocol="corruptions",
        title="False positives on benign changes",
        question="How many images that nobody attacked does a detector flag, once they are noisy, blurred, compressed, "
        "brighter or turned?",
        finding=finding(rows, meta),
        meta=meta,
        rows=rows,
        tables=list(tables_of(rows, by_class, meta)),
        figures={"": chart(title, rows, names)},
        flags=flags_of(rows, meta),
    )


def _names(names: list[str] | None) -> list[str]:
    if names is None:
        return list(CORRUPTIONS)
    check_choice("names", names, "corruption", CORRUPTIONS)
    return names


def _threshold(contender: Contender, rate: float) -> float:
    """Return a detector's threshold at a false-positive rate."""
    limit = threshold(contender.calibration, rate)
    if limit is None:
        count = len(contender.calibration)
        msg = (
            f"{count} calibration images are too few for a threshold at {rate:g}: `evaluate.py corruptions` takes a "
            "higher --rate"
        )
        raise TooFewError(msg)
    return limit
