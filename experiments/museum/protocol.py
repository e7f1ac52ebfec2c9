"""`evaluate.py museum`: published detectors under the attacks that are known to break them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from attacks.checks import at_least, given
from attacks.errors import InputError, nearest
from experiments.museum.measure import measure_breaks
from experiments.museum.published import BREAKS, WAYS, Break
from experiments.museum.records import AT_MOST, ENOUGH, FIELDS, MARGIN
from experiments.museum.tables import chart, finding, flags_of, tables_of
from experiments.results.result import Result
from experiments.study.budgets import is_linf
from experiments.study.study import Study
from experiments.white_box.attacker import Attacker, Subject
from experiments.white_box.measure import SuiteOptions, about, attack_by_suite
from experiments.white_box.plan import PresetName, chosen
from experiments.white_box.records import BEFORE
from experiments.white_box.subjects import over_second_classifier, start_of, subjects
from experiments.white_box.suite import GUIDES, names


def museum(
    study: Study,
    *,
    images: int = 100,
    steps: int | None = None,
    preset: PresetName = "standard",
    suite_attacks: list[str] | None = None,
    epsilon: float | None = None,
) -> Result:
    """Repeat published breaks of published detectors on a run's data.

    Detectors that the run lacks are fitted, or trained, on its images. `--detectors` names some of them.

    Args:
        study: A run whose detectors are trained.
        images: Test images attacked, the first ones.
        steps: Steps of each walk; null: those of the preset.
        preset: Extent of the white-box suite that runs as well, and its steps: quick, standard or thorough.
        suite_attacks: Attacks of that suite, by name; null: those of the preset.
        epsilon: L-inf budget, above 0 and at most 1; null: that of the run's first attack with one.
    """
    at_least(1, whole=True, images=images, **given(steps=steps))
    breaks = _wanted(study)
    paths = _of_run(study)
    called = dict.fromkeys(paths.get(entry.detector, entry.detector) for entry in breaks)
    wanted = study.of_detectors(list(called), named=study.detectors is not None)
    trained_on, seeds = start_of(study.run), study.run.settings.seeds[:1]
    attacked = [subject for subject in subjects(wanted, trained_on, seeds) if subject.phase == BEFORE]
    split = study.data.split("test")
    sample = split.__getitems__(list(range(min(images, len(split)))))
    folder = None if study.run.store() is None else study.run.report / "white_box"
    attacker = Attacker(sample.images, sample.labels, study.device, study.progress, folder)
    epsilon = _epsilon(study, epsilon)
    plan = chosen(preset, names(), steps=steps, curve_images=0, attacks=suite_attacks)
    guides = study.calibration_images(GUIDES).images
    options = SuiteOptions(epsilon, "linf", plan, seeds, seeds, trained_on, guides, remedies="auto")
    suite, _ = attack_by_suite(attacker, attacked, lambda subject: over_second_classifier(wanted, subject), options)
    exhibits = list(_matched(breaks, paths, wanted, attacked))
    won = {detector.subject.name: detector.won(len(sample.images)) for detector in suite}
    rows = [asdict(record) for record in measure_breaks(wanted, attacker, exhibits, won, epsilon, plan.steps)]
    used = {row["way"] for row in rows}
    meta = wanted.meta() | {
        "knowledge": "attacks know classifier and detector, but for `confident`; untargeted, labels are the true ones",
        "fields": FIELDS,
        "attacked_images": len(sample.images),
        "epsilon": epsilon,
        "steps": plan.steps,
        "preset": preset,
        "suite": about(suite),
        "ways": {way: about for way, about in WAYS.items() if way in used},
        "margin": MARGIN,
        "enough": ENOUGH,
        "at_most": AT_MOST,
        "left_out": wanted.left_out,
        "remarks": [subject.contender.remark for subject in attacked if subject.contender.remark],
    }
    return Result(
        protocol="museum",
        title="The museum of published detectors",
        question="Do the attacks that are known to break published detectors break them here?",
        finding=finding(rows),
        meta=meta,
        rows=rows,
        tables=list(tables_of(rows, meta)),
        figures={"": chart(f"Published detectors, {meta['data']}, {len(sample.images)} images", rows)},
        flags=flags_of(rows),
    )


def _wanted(study: Study) -> list[Break]:
    """Return the breaks of the detectors named."""
    names, wanted = _of_run(study), study.detectors
    breaks = [entry for entry in BREAKS if wanted is None or {entry.detector, names.get(entry.detector)} & {*wanted}]
    if not breaks:
        paths = list(dict.fromkeys(entry.detector for entry in BREAKS))
        meant = "".join(nearest(name, paths) for name in wanted or ())
        msg = f"detectors must name some of the museum's, got {', '.join(wanted or ())}{meant}: {', '.join(paths)}"
        raise InputError(msg)
    return breaks


def _of_run(study: Study) -> dict[str, str]:
    """Return the names of the run's detectors by their class paths."""
    settings = study.run.settings
    trained = {entry["model"]["class_path"]: name for name, entry in settings.detectors.items()}
    free = {entry["class_path"]: name for name, entry in settings.sections["training_free"].items()}
    return free | trained


def _matched(
    breaks: Sequence[Break], paths: Mapping[str, str], study: Study, attacked: Sequence[Subject]
) -> Iterator[tuple[Break, Subject]]:
    """Yield each break with its detector under attack."""
    class_paths = [path for path in study.detectors or () if "." in path and path not in study.left_out]
    named = {**paths, **dict(zip(class_paths, (detector.name for detector in study.own), strict=True))}
    by_name = {subject.name: subject for subject in attacked}
    for entry in breaks:
        if entry.detector not in study.left_out:
            yield entry, by_name[named[entry.detector]]


def _epsilon(study: Study, epsilon: float | None) -> float:
    if epsilon is None:
        budgets = [float(attack.epsilon) for attack in study.run.attacks().values() if is_linf(attack)]  # type: ignore[attr-defined]
        if not budgets:
            msg = "the run has no attack with an L-inf budget to take over: give --epsilon, for example --epsilon 0.1"
            raise InputError(msg)
        return budgets[0]
    if not 0 < epsilon <= 1:
        msg = f"epsilon must be an L-inf budget above 0 and at most 1, got {epsilon}"
        raise InputError(msg)
    return epsilon
