"""`evaluate.py white-box`: attacks that know classifier and detector (Schut & Gal, 2020, Table 3; PROTOCOL C14-C17)."""

from dataclasses import replace
from math import inf
from typing import Any, Final

from attacks.checks import at_least, given
from attacks.errors import InputError, nearest, unknown
from experiments.results.bootstrap import Resampling
from experiments.results.result import Result
from experiments.study.budgets import is_linf
from experiments.study.study import Study
from experiments.study.user_modules import name_of
from experiments.white_box.attacker import TARGETS, Attacker, random_targets
from experiments.white_box.charts import budgets, story
from experiments.white_box.clean_lengths import median_l2
from experiments.white_box.flags import flags
from experiments.white_box.measure import SuiteOptions, measure
from experiments.white_box.plan import Mode, PresetName, chosen
from experiments.white_box.records import FIELDS, NORMS, WhiteBoxRecords
from experiments.white_box.remedies import Remedies, check_remedies
from experiments.white_box.subjects import broken_subject, over_second_classifier, own_subject, start_of, subjects
from experiments.white_box.suite import GUIDES, Norm, left_out, names
from experiments.white_box.tables import finding, white_box_tables


def white_box(
    study: Study,
    *,
    images: int = 200,
    preset: PresetName | None = None,
    mode: Mode | None = None,
    steps: int | None = None,
    restarts: int | None = None,
    goals: int | None = None,
    suite_attacks: list[str] | None = None,
    norm: Norm = "linf",
    epsilon: float | None = None,
    trained_on: str | None = None,
    seeds: list[int] | None = None,
    suite_seeds: int | None = None,
    curve_images: int | None = None,
    detector: str | None = None,
    classifier: str | None = None,
    targeted: bool = False,
    remedies: Remedies = "auto",
    bpda: list[str] | None = None,
    resamples: int = 1000,
) -> Result:
    """Attack the detectors, before and after retraining, by a suite of attacks that know them.

    Args:
        study: A run whose detectors are trained.
        images: Test images attacked.
        preset: How much to run: quick, standard or thorough; each sets mode, steps, restarts, goals, suite_attacks and
            curve_images, and options that you give replace its own. null: the defaults below.
        mode: table: every attack gets every image. worst: an attack gets only the images that no earlier one has won,
            which gives the same worst case of SR@5 at a fraction of the cost. null: table.
        steps: Steps of each walk; null: 100.
        restarts: Walks, the first from the image, the others from random points; the paper's attacks start once. null:
            1.
        goals: Nearest classes to which the walks go as well, one after another; null: 0, but 3 of the hinged walk.
        suite_attacks: Attacks that run beside the paper's and noise, by their names in the table; null: all.
        norm: Norm of the budget, linf or l2.
        epsilon: Budget in the norm; null: in L-inf that of the attack trained on; in L2 the median length of the run's
            attack of minimal L2 norm.
        trained_on: Attack that the detectors were trained on; null: where retraining starts, else the first.
        seeds: Seeds of the detectors attacked; null: all of the run.
        suite_seeds: Seeds that meet the whole suite; the others meet the paper's attacks only. null: all.
        curve_images: Images of the curves and of the price of detection; 0: neither. null: 50.
        detector: One detector of your own, class path or .ckpt: as --detectors with this one alone, but the report has
            its name, and --classifier can be given.
        classifier: A classifier of your own, class path or .ckpt, to use with --detector; null: the run's.
        targeted: Whether the attacks are to reach a target: a random other class for each image.
        remedies: auto: a detector without a gradient, with scores that differ between calls, or with parts declared as
            straight_through is attacked again under a remedy, in rows of its own. none: it is not.
        bpda: Sub-modules or methods of detectors through which the gradient is to pass unchanged (auto only).
        resamples: Bootstrap resamples of the intervals.
    """
    at_least(1, images=images, resamples=resamples)
    at_least(1, whole=True, **given(steps=steps, restarts=restarts, suite_seeds=suite_seeds))
    at_least(0, whole=True, **given(goals=goals, curve_images=curve_images))
    plan = chosen(
        preset,
        names(),
        mode=mode,
        steps=steps,
        restarts=restarts,
        goals=goals,
        curve_images=curve_images,
        attacks=suite_attacks,
    )
    _check_own(detector, classifier, seeds=seeds, suite_seeds=suite_seeds, detectors=study.detectors)
    trained_on = _trained_on(study, trained_on)
    epsilon, epsilon_from = _epsilon(study, trained_on, norm, epsilon)
    seeds = [] if detector else _seeds(study, seeds)
    attacked = [own_subject(study, detector, classifier)] if detector else subjects(study, trained_on, seeds)
    check_remedies(bpda, remedies, attacked)
    split = study.data.split("test")
    sample = split.__getitems__(list(range(min(images, len(split)))))
    targets = random_targets(sample.labels, study.data.classes) if targeted else None
    folder = None if study.run.store() is None else study.run.report / "white_box"
    resampling = Resampling(len(sample.images), resamples)
    options = SuiteOptions(
        epsilon=epsilon,
        norm=norm,
        plan=replace(plan, curve_images=min(plan.curve_images, len(sample.images))),
        seeds=seeds,
        whole=seeds[:suite_seeds],
        trained_on=trained_on,
        guides=study.calibration_images(GUIDES).images,
        remedies=remedies,
        bpda=bpda,
    )
    records = measure(
        Attacker(sample.images, sample.labels, study.device, study.progress, folder, targets),
        attacked,
        broken_subject(study, attacked[0].model),
        lambda subject: None if detector else over_second_classifier(study, subject),
        options,
        resampling,
    )
    kinds = {"targeted": targeted, "l2": norm == "l2"}
    name = "-".join(["white-box", *([name_of(detector)] if detector else []), *(kind for kind in kinds if kinds[kind])])
    remarks = [subject.contender.remark for subject in attacked if subject.contender.remark]
    meta = {"preset": preset, "epsilon_from": epsilon_from, "remarks": remarks}
    return _result(study, name, records, options, meta, targeted=targeted)


def _result(
    study: Study,
    name: str,
    records: WhiteBoxRecords,
    options: SuiteOptions,
    more: dict[str, Any],
    *,
    targeted: bool,
) -> Result:
    count, plan = records.rows[0]["n"], options.plan
    meta = (
        study.meta()
        | more
        | {
            "knowledge": _KNOWLEDGE.format(f"targeted: {TARGETS}" if targeted else "untargeted"),
            "fields": FIELDS,
            "epsilon": options.epsilon,
            "norm": options.norm,
            "mode": plan.mode,
            "steps": plan.steps,
            "restarts": plan.restarts,
            "goals": plan.goals,
            "most_passes": records.most_passes,
            "trained_on": options.trained_on,
            "attacked_seeds": options.seeds,
            "suite_seeds": options.whole,
            "attacked_images": count,
            "targeted": targeted,
            "targets": TARGETS if targeted else None,
            "left_out": left_out(options.norm, targeted=targeted),
            "curve_images": plan.curve_images,
            "suite": records.about,
            "remedies": [remedied._asdict() for remedied in records.remedies],
            "contrasts": records.contrasts,
            "image_by_image": records.image_by_image,
            "curves": records.curves,
            "smallest": records.smallest,
            "prices": records.prices,
        }
    )
    retrain = study.run.settings.retrain
    training_steps = None if retrain is None else getattr(retrain.attack, "steps", 1)
    attacks = "Targeted white-box attacks" if targeted else "White-box attacks"
    title = f"{attacks}, {meta['data']}, {NORMS[options.norm]} {options.epsilon:.4g}, {count} images"
    return Result(
        protocol=name,
        title=f"{attacks} on the detectors",
        question="Does a detector still find attacks that know it, and does retraining against them help?",
        finding=finding(records.rows, meta),
        meta=meta,
        rows=records.rows,
        tables=white_box_tables(records, meta),
        figures={"": story(title, records.rows, records.curves)}
        | ({"budgets": budgets(title, records.smallest, records.curves, options.epsilon)} if records.smallest else {}),
        flags=flags(records, options.epsilon, training_steps, options.norm, plan.attacks),
    )


_KNOWLEDGE: Final = "attacks know classifier and detector with all their weights; {}, labels are the true ones"


def _check_own(detector: str | None, classifier: str | None, **of_the_run: Any) -> None:
    """Refuse options about the run's detectors beside a detector of the user's own, and its classifier without it."""
    given = [name for name, value in of_the_run.items() if value is not None]
    _require(not detector or not given, f"--detector attacks that one only: leave out {', '.join(given)}")
    goes = "--classifier goes with --detector: a run's own detectors hold their classifier"
    _require(classifier is None or detector is not None, goes)


def _trained_on(study: Study, name: str | None) -> str:
    attacks = study.run.settings.train_on
    _require(name in {None, *attacks}, f"trained_on: {unknown('training attack', name, attacks)}")
    return name or start_of(study.run)


def _epsilon(study: Study, trained_on: str, norm: Norm, epsilon: float | None) -> tuple[float, str]:
    """Return the budget, and where it is from, in words."""
    if epsilon is None and norm == "l2":
        return median_l2(study)
    if epsilon is None:
        attack = study.run.attacks().get(trained_on)
        taken = attack is not None and is_linf(attack)
        _require(taken, f"{trained_on} has no L-inf budget to take over: give --epsilon, for example --epsilon 0.1")
        return float(attack.epsilon), f" (of {trained_on})"  # type: ignore[union-attr]
    _require(norm == "l2" or 0 < epsilon <= 1, f"epsilon must be an L-inf budget above 0 and at most 1, got {epsilon}")
    _require(0 < epsilon < inf, f"epsilon must be an L2 budget above 0 and finite, got {epsilon}")
    return float(epsilon), ""


def _seeds(study: Study, seeds: list[int] | None) -> list[int]:
    seeds_of_run = study.run.settings.seeds
    chosen = seeds_of_run if seeds is None else seeds
    different = 0 < len(chosen) == len(set(chosen)) and set(chosen) <= set(seeds_of_run)
    meant = "".join(nearest(seed, map(str, seeds_of_run)) for seed in chosen if seed not in seeds_of_run)
    _require(different, f"seeds must be different ones of the run's {seeds_of_run}, got {seeds}{meant}")
    return chosen


def _require(holds: bool, message: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise InputError(message)
