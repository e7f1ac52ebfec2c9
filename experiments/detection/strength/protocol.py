"""`evaluate.py strength`: how strong each attack is, and how large its changes (Schut & Gal, 2020, Table 2)."""

from typing import Final

from experiments.detection.strength.flags import flags_of
from experiments.detection.strength.measure import measure_strength, stuck_images
from experiments.detection.strength.tables import chart, finding, tables_of
from experiments.detection.tables import budget_flag
from experiments.results.result import Result
from experiments.study.budgets import unusual
from experiments.study.study import Study


def strength(study: Study) -> Result:
    """Return how often each attack succeeds and how large its changes are.

    Args:
        study: A run with a trained classifier; other parts are not needed.
    """
    attacks = measure_strength(study)
    large = unusual(study.run.attacks(), study.images.clean.shape[1])
    rows = [row for records in attacks for row in records.rows]
    meta = study.meta() | {
        "fields": _FIELDS,
        "classifier_accuracy": study.under(study.attacks[0]).clean_accuracy,
        "seconds_per_image": {records.name: records.cost.seconds for records in attacks},
        "sample_images": attacks[0].cost.images,
    }
    return Result(
        protocol="strength",
        title="Strength of the attacks",
        question="How often does each attack fool the classifier, how much does it change the images, and what does it "
        "cost?",
        finding=finding(rows),
        meta=meta,
        rows=rows,
        tables=tables_of(attacks, rows, meta),
        figures={"": chart(rows, meta)},
        flags=[*flags_of(attacks, int(stuck_images(study).sum())), budget_flag(large)],
    )


_FIELDS: Final = {
    "subset": "successful: predicted right before and wrong after the attack; all: every test image",
    "n": "images in the subset",
    "success_rate": "of the images predicted right before, those wrong after; predicted anew from the stored images",
    "success_rate_low, success_rate_high, ...": "95 % interval over images (Clopper & Pearson)",
    "success_rate_rounded": "the same with the adversarial images rounded to 8 bits",
    "right_before": "images predicted right before: the denominator of the success rates",
    "mean, q05, ..., q95": "of the norm over the subset; null where it is empty",
    "large": "whether the mean is at least the paper's threshold: RMS .025, L-inf .5; null for other norms",
    "forward_passes, backward_passes": "per image, mean over a sample",
}
