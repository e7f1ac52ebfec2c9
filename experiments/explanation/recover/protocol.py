"""`evaluate.py recover`: do maps find the region that an attack was confined to (Goepfert, Wersing, Hammer, 2019)?"""

from dataclasses import replace
from typing import Final

from attacks import LocalizedBIM
from attacks.checks import at_least
from experiments.explanation.recover.attempts import attempted
from experiments.explanation.recover.charts import curves
from experiments.explanation.recover.findings import finding, judge
from experiments.explanation.recover.flags import flags
from experiments.explanation.recover.grids import EXAMPLES, grids
from experiments.explanation.recover.measure import examples_of, lime_of, measure
from experiments.explanation.recover.records import LIME_NAME, RANDOM, rows_of
from experiments.explanation.recover.tables import tables
from experiments.explanation.subject import Explained, explained
from experiments.results.result import Result
from experiments.study.study import Study
from saliency import LIME, Random, SaliencyMethod
from saliency.checkpoints import Portable

QUESTION: Final = "Does an explanation of an adversarial image find the region that the attack was confined to?"

STEPS: Final = 100
STEP_SIZE: Final = 0.01
"""These steps reach every colour from every other; ten times as many smaller ones gain little."""

PROBABILITY: Final = 0.99

QUICK: Final = LIME(samples=500, segments=81)
"""Explains a thousand images in minutes, with more than 40 superpixels from 32 pixels on."""


def recover(
    study: Study,
    *,
    images: int = 200,
    methods: dict[str, SaliencyMethod] | None = None,
    classifier: str | Portable | None = None,
    photographs: str | None = None,
    size: int | None = None,
    resamples: int = 1000,
    regions: int = 10,
    target: int | None = 0,
    steps: int = STEPS,
    step_size: float = STEP_SIZE,
    probability: float = PROBABILITY,
) -> Result:
    """Return how well each method's explanations recover attacked regions.

    Args:
        study: A run whose classifier is trained.
        images: Largest number of images.
        methods: Saliency methods by name, as classes with their arguments; null: all.
        classifier: Your own: class path, .ckpt, or class with arguments; null: the run's.
        photographs: A folder of images of any kind in place of the test images.
        size: Side in pixels that images are scaled to before they are attacked and explained; null: as they are,
            photographs 224.
        resamples: Bootstrap resamples of the intervals.
        regions: Attacks on an image, at most: each on one of its largest regions.
        target: Class that all attacks aim at; null: each image's runner-up, as always with two classes.
        steps: Most steps of an attack, after which it is discarded.
        step_size: L-inf length of a step.
        probability: Probability of the target class from which an attack counts as successful, in (0, 1).
    """
    attack = LocalizedBIM(targeted=True, step_size=step_size, steps=steps, probability=probability)
    at_least(1, regions=regions, resamples=resamples)
    subject = explained(
        study, "recover", images=images, methods=methods, classifier=classifier, photographs=photographs, size=size
    )
    subject = _ready(subject, quick=methods is None)
    attempts = attempted(subject, attack, regions, target)
    overlaps = measure(subject, attempts, examples_of(attempts, EXAMPLES), resamples)
    records = overlaps.records()
    claims = judge(records)
    meta = {
        "attack": repr(attack),
        "regions": regions,
        "target": target,
        "resamples": resamples,
        "attempts": sum(records.attacks.tried),
        "succeeded": records.explanations,
        "left_out": sum(records.attacks.left_out),
        "region_share": records.attacks.won_share,
    }
    return Result(
        protocol=subject.protocol,
        title="Recovery of localized attacks",
        question=QUESTION,
        finding=finding(records, claims),
        meta=subject.meta() | meta,
        rows=rows_of(records),
        tables=tables(records, claims),
        figures={"": curves(records)} | grids(overlaps),
        flags=[*flags(records), subject.flag()],
    )


def _ready(subject: Explained, *, quick: bool) -> Explained:
    """Return the subject with random maps and, if wanted, a quick LIME; try all methods but LIME on an image."""
    methods = {RANDOM: Random(), **subject.methods} | ({LIME_NAME: QUICK} if quick else {})
    ready = replace(subject, methods=methods)
    lime_of(ready)
    for name in methods:
        if name != LIME_NAME:  # of any classifier; and slow
            ready.attributions(name, subject.images[:1], about="on one image")
    return ready
