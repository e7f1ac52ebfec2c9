"""`evaluate.py recover`: do maps find the region that an attack was confined to (Goepfert, Wersing, Hammer, 2019)?"""

from dataclasses import replace
from typing import Any, Final

from attacks import LocalizedBIM
from attacks.checks import at_least
from experiments.explanation.recover.attempts import Attempts, attempted, targets_of
from experiments.explanation.recover.figures import EXAMPLES, figures
from experiments.explanation.recover.flags import flags
from experiments.explanation.recover.measured import Measured, judged
from experiments.explanation.recover.recovered import LIME_NAME, RANDOM, Recovered, examples_of, lime_of, recovered
from experiments.explanation.recover.tables import attempts_told, tables
from experiments.explanation.subject import Explained, explained
from experiments.results.result import Result
from experiments.results.verdicts import Claim
from experiments.study.study import Study
from saliency import LIME, Random, SaliencyMethod

QUESTION: Final = "Does an explanation of an adversarial image find the region that the attack was confined to?"

STEPS: Final = 100
STEP_SIZE: Final = 0.01
"""Together these reach every colour from every other; ten times as many, smaller ones gain little."""

PROBABILITY: Final = 0.99

QUICK: Final = LIME(samples=500, segments=81)
"""Explains a thousand images in minutes, with more than 40 superpixels from 32 pixels on."""


def recover(study: Study) -> Result:
    """Return how well each method's explanations recover attacked regions.

    Args:
        study: Its options: those of `explained`; regions, at most so many attacks on an image; target, the class that
            all attacks aim at (None: each image's runner-up); steps, step_size and probability of the attack;
            resamples.

    Raises:
        FileNotFoundError: If a stage is missing, or there are no photographs.
        ValueError: If an option is out of its range, a method is not defined for the classifier, no method named lime
            is LIME, or no attack succeeds.
    """
    options = study.options
    attack = LocalizedBIM(
        targeted=True,
        step_size=options.get("step_size", STEP_SIZE),
        steps=options.get("steps", STEPS),
        probability=options.get("probability", PROBABILITY),
    )
    regions, target, resamples = options.get("regions", 10), options.get("target", 0), options.get("resamples", 1000)
    at_least(1, regions=regions, resamples=resamples)
    found = _ready(explained(study))
    targets_of(found.logits, target)
    attempts = attempted(found, attack, regions, target)
    results = recovered(found, attempts, examples_of(attempts, EXAMPLES))
    measured = Measured(results, attempts.sources, resamples)
    findings = judged(measured)
    return Result(
        protocol=found.protocol("recover"),
        title="Recovery of localized attacks",
        question=QUESTION,
        finding=_finding(found, attempts, findings),
        meta=found.meta() | _meta(attack, regions, target, resamples, attempts, results),
        rows=measured.rows(),
        tables=tables(found, attempts, measured, findings),
        figures=figures(found, attempts, measured),
        flags=[*flags(found, attempts, measured), found.flag()],
    )


def _ready(found: Explained) -> Explained:
    """Return the study with a LIME that is quick unless methods were named, and noise; try all methods on an image."""
    methods: dict[str, SaliencyMethod] = dict(found.methods)
    if found.study.options.get("methods") is None:
        methods[LIME_NAME] = QUICK
    ready = replace(found, methods={RANDOM: Random(), **methods})
    lime_of(ready)
    for name in methods:
        if name != LIME_NAME:  # of any classifier; and slow
            ready.attributions(name, found.images[:1], about="on one image")
    return ready


def _meta(
    attack: LocalizedBIM, regions: int, target: int | None, resamples: int, attempts: Attempts, results: Recovered
) -> dict[str, Any]:
    return {
        "attack": repr(attack),
        "regions": regions,
        "target": target,
        "resamples": resamples,
        "attempts": len(attempts.image),
        "succeeded": int(attempts.succeeded.sum()),
        "left_out": int(attempts.left_out.sum()),
        "region_share": (results.areas.double().mean() / results.pixels).item(),
    }


def _finding(found: Explained, attempts: Attempts, findings: list[Claim]) -> str:
    told = " ".join(f"{each.number}, {each.text}: {each.verdict} ({each.statistic})." for each in findings)
    return f"{attempts_told(found, attempts)} {told}"
