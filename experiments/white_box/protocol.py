"""`evaluate.py white-box`: attacks that know classifier and detector (Schut & Gal, 2020, Table 3; PROTOCOL C14-C17)."""

from typing import Any, Final

from attacks.checks import at_least
from attacks.errors import InputError, nearest, unknown
from experiments.results.bootstrap import Resampling
from experiments.results.result import Result
from experiments.study.budgets import is_linf
from experiments.study.study import Study
from experiments.study.user_modules import name_of
from experiments.white_box.attacker import TARGETS, Attacker, random_targets
from experiments.white_box.charts import story
from experiments.white_box.contrasts import contrasts
from experiments.white_box.flags import flags
from experiments.white_box.measure import SuiteOptions, measure
from experiments.white_box.records import FIELDS, WhiteBoxRecords
from experiments.white_box.subjects import broken_subject, over_second_classifier, own_subject, start_of, subjects
from experiments.white_box.suite import NOISE
from experiments.white_box.tables import finding, white_box_tables


def white_box(
    study: Study,
    *,
    images: int = 200,
    steps: int = 100,
    restarts: int = 1,
    epsilon: float | None = None,
    trained_on: str | None = None,
    detectors: list[str] | None = None,
    seeds: list[int] | None = None,
    suite_seeds: int | None = None,
    curve_images: int = 50,
    detector: str | None = None,
    classifier: str | None = None,
    targeted: bool = False,
    resamples: int = 1000,
) -> Result:
    """Return what a suite of attacks that know the detectors makes of them, before and after retraining.

    Args:
        study: Of a run whose detectors are trained.
        images: Test images attacked.
        steps: Steps of each walk.
        restarts: Walks, the first from the image, the others from random points; the paper's attacks start once.
        epsilon: L-inf budget; null: that of the attack trained on.
        trained_on: Attack that the detectors were trained on; null: where retraining starts, else the first.
        detectors: Names of the detectors attacked; null: all, training-free too.
        seeds: Seeds of the detectors attacked; null: all of the run.
        suite_seeds: Seeds that meet the whole suite; the others meet the paper's attacks only. null: all.
        curve_images: Images of the curves and of the price of detection; 0: neither.
        detector: A detector of your own: class path or .ckpt, in place of the run's.
        classifier: A classifier of your own, to use with --detector; null: the run's.
        targeted: Whether the attacks are to reach a target: a random other class for each image.
        resamples: Bootstrap resamples of the intervals.

    Raises:
        FileNotFoundError: If a stage is missing; says which command makes it.
        ValueError: If an option is out of its range, or there are too few calibration images for a threshold.
    """
    at_least(1, images=images, steps=steps, restarts=restarts, resamples=resamples)
    at_least(0, curve_images=curve_images)
    at_least(1, suite_seeds=1 if suite_seeds is None else suite_seeds)
    _check_own(detector, classifier, seeds=seeds, suite_seeds=suite_seeds, detectors=detectors)
    trained_on = _trained_on(study, trained_on)
    epsilon = _epsilon(study, trained_on, epsilon)
    seeds = [] if detector else _seeds(study, seeds)
    own = [] if detector is None else [own_subject(study, detector, classifier)]
    attacked = own or subjects(study, trained_on, seeds, detectors)
    split = study.data.split("test")
    sample = split.__getitems__(list(range(min(images, len(split)))))
    targets = random_targets(sample.labels, study.data.classes) if targeted else None
    folder = None if study.run.store() is None else study.run.report / "white_box"
    resampling = Resampling(len(sample.images), resamples)
    options = SuiteOptions(
        epsilon=epsilon,
        steps=steps,
        restarts=restarts,
        seeds=seeds,
        whole=seeds[:suite_seeds],
        curve_images=min(curve_images, len(sample.images)),
        trained_on=trained_on,
    )
    records = measure(
        Attacker(sample.images, sample.labels, study.device, study.progress, folder, targets),
        attacked,
        broken_subject(study, attacked[0].model),
        lambda subject: None if own else over_second_classifier(study, subject),
        options,
        resampling,
    )
    name = "-".join(["white-box", *([name_of(detector)] if detector else []), *(["targeted"] if targeted else [])])
    return _result(study, name, records, options, resampling, targeted=targeted)


def _result(
    study: Study,
    name: str,
    records: WhiteBoxRecords,
    options: SuiteOptions,
    resampling: Resampling,
    *,
    targeted: bool,
) -> Result:
    count = len(records.outcomes[0].wrong)
    meta = study.meta() | {
        "knowledge": _KNOWLEDGE.format(f"targeted: {TARGETS}" if targeted else "untargeted"),
        "fields": FIELDS,
        "epsilon": options.epsilon,
        "steps": options.steps,
        "restarts": options.restarts,
        "trained_on": options.trained_on,
        "attacked_seeds": options.seeds,
        "suite_seeds": options.whole,
        "attacked_images": count,
        "targeted": targeted,
        "targets": TARGETS if targeted else None,
        "left_out": [NOISE] if targeted else [],
        "curve_images": options.curve_images,
        "suite": records.about,
        "contrasts": contrasts(records.outcomes, resampling),
        "curves": records.curves,
        "prices": records.prices,
    }
    retrain = study.run.settings.retrain
    attacks = "Targeted white-box attacks" if targeted else "White-box attacks"
    title = f"{attacks}, {meta['data']}, L-inf {options.epsilon:g}, {count} images"
    return Result(
        protocol=name,
        title=f"{attacks} on the detectors",
        question="Does a detector still find attacks that know it, and does retraining against them help?",
        finding=finding(records.rows, meta),
        meta=meta,
        rows=records.rows,
        tables=white_box_tables(records, meta),
        figures={"": story(title, records.rows, records.curves)},
        flags=flags(records, options.epsilon, None if retrain is None else getattr(retrain.attack, "steps", 1)),
    )


_KNOWLEDGE: Final = "attacks know classifier and detector with all their weights; {}, labels are the true ones"


def _check_own(detector: str | None, classifier: str | None, **of_the_run: Any) -> None:
    """Refuse options about the run's detectors beside a detector of the user's own, and its classifier without it."""
    given = [name for name, value in of_the_run.items() if value is not None]
    _require(not detector or not given, f"--detector attacks that one only: leave out {', '.join(given)}")
    goes = "--classifier goes with --detector: a run's own detectors hold their classifier"
    _require(classifier is None or detector is not None, goes)


def _trained_on(study: Study, name: str | None) -> str:
    known = study.run.settings.train_on
    _require(name in {None, *known}, f"trained_on: {unknown('training attack', name, known)}")
    return name or start_of(study.run)


def _epsilon(study: Study, trained_on: str, epsilon: float | None) -> float:
    if epsilon is None:
        attack = study.run.attacks().get(trained_on)
        taken = attack is not None and is_linf(attack)
        _require(taken, f"{trained_on} has no L-inf budget to take over: give --epsilon, for example --epsilon 0.1")
        return float(attack.epsilon)  # type: ignore[union-attr]
    _require(0 < epsilon <= 1, f"epsilon must be an L-inf budget above 0 and at most 1, got {epsilon}")
    return float(epsilon)


def _seeds(study: Study, seeds: list[int] | None) -> list[int]:
    known = study.run.settings.seeds
    chosen = known if seeds is None else seeds
    different = 0 < len(chosen) == len(set(chosen)) and set(chosen) <= set(known)
    meant = "".join(nearest(seed, map(str, known)) for seed in chosen if seed not in known)
    _require(different, f"seeds must be different ones of the run's {known}, got {seeds}{meant}")
    return chosen


def _require(holds: bool, message: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise InputError(message)
