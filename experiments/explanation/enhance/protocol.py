"""`evaluate.py enhance`: enhanced guided backpropagation (Gu & Tresp, "Saliency Methods for Explaining ...", 2019)."""

from collections.abc import Sequence
from typing import Final

from experiments.explanation.enhance import charts, grids, names, shown_images
from experiments.explanation.enhance.attacked_images import checked, chosen_attack, prepare, ready
from experiments.explanation.enhance.classes import class_pairs
from experiments.explanation.enhance.findings import finding, judge
from experiments.explanation.enhance.flags import flags
from experiments.explanation.enhance.measure import measure
from experiments.explanation.enhance.multi_label import several_classes
from experiments.explanation.enhance.tables import rows_of, tables
from experiments.explanation.subject import explained
from experiments.results.result import Result
from experiments.study.study import Study
from saliency import SaliencyMethod
from saliency.checkpoints import Portable

QUESTION: Final = (
    "Enhanced guided backpropagation subtracts the map of the runner-up class from that of the predicted one. Does its "
    "map find the pixels by which an attack succeeds, and does it react to attacks where other maps do not?"
)

SHARES: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)


def enhance(
    study: Study,
    *,
    images: int = 200,
    methods: dict[str, SaliencyMethod] | None = None,
    classifier: str | Portable | None = None,
    photographs: str | None = None,
    size: int | None = None,
    resamples: int = 1000,
    attack: str | None = None,
    shares: Sequence[float] = SHARES,
    fill: names.Fill = "mean",
    voc: str | None = None,
) -> Result:
    """Compare enhanced guided backpropagation with all other maps.

    Args:
        study: A run whose classifier is trained.
        images: Largest number of images.
        methods: Saliency methods by name, as classes with their arguments; null: all.
        classifier: Your own: class path, .ckpt, or class with arguments; null: the run's.
        photographs: A folder of images of any kind in place of the test images.
        size: Side in pixels that images are scaled to before they are attacked and explained; null: as they are,
            photographs 224.
        resamples: Bootstrap resamples of the intervals.
        attack: Name of one of the run's attacks; null: its first of Carlini and Wagner, else a warm one.
        shares: Shares of the pixels to perturb, ascending, in [0, 1].
        fill: What perturbed pixels become: the image's mean colour, noise, or its blur.
        voc: Root of torchvision's VOCDetection, images of several classes; null: two test images side by side.
    """
    shares, named_attack = checked(shares), chosen_attack(study, attack)
    subject = explained(
        study, "enhance", images=images, methods=methods, classifier=classifier, photographs=photographs, size=size
    )
    subject = ready(subject, quick=methods is None)
    several = several_classes(subject.images, subject.labels, subject.classes, voc)  # refuses before the attack
    setting = prepare(subject, named_attack, shares, fill, resamples)
    pairs = class_pairs(subject, several, resamples)
    records = measure(setting, pairs)
    claims = judge(records)
    return Result(
        protocol=subject.protocol,
        title="Enhanced guided backpropagation",
        question=QUESTION,
        finding=finding(records, claims),
        meta=setting.meta() | {"rivals_true": records.rivals_true, "classes_of": pairs and pairs.source},
        rows=rows_of(records),
        tables=tables(records, claims),
        figures={
            "": charts.curves(records),
            **({} if pairs is None else {"classes": charts.histograms(pairs)}),
            "versions": grids.versions(shown_images.versions(setting)),
            "outcomes": grids.outcomes(shown_images.outcomes(setting)),
            "reaction": charts.dots(records),
        },
        flags=[*flags(records), subject.flag()],
    )
