"""`evaluate.py gallery`: images under each attack, and their maps (Schut & Gal, 2020, Figures 1, 7, 8)."""

from attacks.checks import at_least
from experiments.detection.gallery.grids import grids
from experiments.detection.gallery.measure import measure_gallery
from experiments.detection.gallery.records import SAME_LOOK
from experiments.detection.gallery.tables import finding, flags_of, tables_of
from experiments.results.result import Result
from experiments.study.study import Study


def gallery(study: Study, *, images: int = 6, pairs: int | None = None, resamples: int = 1000) -> Result:
    """Return grids of some test images under each attack, and how alike the maps of all of them look.

    Args:
        study: A run with all parts trained.
        images: Test images shown.
        pairs: Largest number of pairs per sample; null: all test images.
        resamples: Bootstrap resamples of the intervals.
    """
    at_least(1, images=images)
    records, pictures = measure_gallery(study, images, pairs, resamples)
    return Result(
        protocol="gallery",
        title="Images, attacks and maps",
        question="What do attacked images, their learnt maps and their Jacobian maps look like; and do the Jacobian "
        "maps of clean and adversarial images look the same?",
        finding=finding(records),
        meta=study.meta()
        | {"images": images, "resamples": resamples, "same_look": SAME_LOOK, "likeness": records.likeness},
        rows=records.rows(),
        tables=tables_of(records),
        figures=grids(records, pictures),
        flags=flags_of(records),
    )
