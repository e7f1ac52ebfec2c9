"""Who is attacked: the detectors of a run before and after retraining, the training-free ones, or a user's own."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from attacks.errors import InputError, nearest
from data.store.identity import of_module
from detectors import Detector, load
from experiments.study.contenders import Contender
from experiments.study.study import Study
from experiments.study.user_modules import MissingPartError, built_from, name_of, own_classifier, takes
from experiments.training.run_folder import Run
from experiments.white_box.attacker import Subject
from experiments.white_box.own_detector import read_scores
from experiments.white_box.records import AFTER, BEFORE
from saliency.checkpoints import Portable


def subjects(study: Study, trained_on: str, seeds: list[int], names: list[str] | None = None) -> list[Subject]:
    """Return the detectors of a run: each before and, where it was, after retraining; then the training-free ones.

    Args:
        study: The run.
        trained_on: Name of the attack that the detectors were trained on.
        seeds: Of the trained detectors.
        names: Of the detectors, trained and training-free; None: all.

    Raises:
        FileNotFoundError: If a detector is missing; says which command makes it.
        ValueError: If the run has no detector of a name.
    """
    run = study.run
    only_trained = bool(names) and set(names or ()) <= set(run.settings.detectors)
    free = [] if only_trained else study.training_free  # these cost scores of the calibration images
    known = [*run.settings.detectors, *(each.name for each in free)]
    wanted = known if names is None else names
    if not wanted or not set(wanted) <= set(known):
        msg = f"detectors must be some of {', '.join(known)}; got {', '.join(wanted) or 'none'}"
        msg += "".join(nearest(name, known) for name in wanted if name not in known)
        raise InputError(msg)
    trained = []
    for name, seed in ((name, seed) for name in run.settings.detectors if name in wanted for seed in seeds):
        study.require(run.detector_path(name, trained_on, seed))
        phases = {BEFORE: run.detector(name, trained_on, seed)}
        if trained_on == start_of(run) and run.retrained_path(name, seed).is_file():
            phases[AFTER] = run.retrained(name, seed)
        for phase, detector in phases.items():
            module = detector.to(study.device).eval()
            contender = Contender(name, trained_on, seed, module, study.calibration(module))
            trained.append(Subject(contender, phase, shared(study.classifier, module)))
    return [*trained, *(Subject(each, BEFORE, study.classifier) for each in free if each.name in wanted)]


def start_of(run: Run) -> str:
    """Return the attack whose detectors a run retrains; without retraining the first that it trains on."""
    retrain, train_on = run.settings.retrain, run.settings.train_on
    return train_on[0] if retrain is None or retrain.start is None else retrain.start


def over_second_classifier(study: Study, subject: Subject) -> Subject | None:
    """Return a detector of the same kind that looks through the second classifier, for attacks that transfer.

    A trained one is that of another seed of the run; the saliency model is the same.

    Returns:
        None if there is no second classifier or no other seed, or the detector compares with the second classifier.
    """
    second, mine = study.second, subject.contender
    if second is None:
        return None
    try:
        free = mine.seed is None
        module = study.training_free_detector(mine.name, second) if free else _of_another_seed(study.run, subject)
    except MissingPartError:
        return None
    if isinstance(module, Detector):
        module.classifier = second
    module = module.to(study.device).eval()
    return Subject(Contender(mine.name, mine.trained_on, None, module, study.scored(module)), subject.phase, second)


def _of_another_seed(run: Run, subject: Subject) -> Detector:
    mine = subject.contender
    for seed in run.settings.seeds:
        path = run.retrained_path(mine.name, seed)
        if subject.phase == BEFORE:
            path = run.detector_path(mine.name, str(mine.trained_on), seed)
        if seed != mine.seed and path.is_file():
            return load(path, Detector)
    msg = f"the run has no {mine.name} of another seed"
    raise MissingPartError(msg)


def shared(classifier: nn.Module, detector: nn.Module) -> nn.Module:
    """Return the classifier inside a detector if it equals the attacked one, else the attacked one."""
    inner = getattr(detector, "classifier", None)
    return inner if isinstance(inner, nn.Module) and of_module(inner) == of_module(classifier) else classifier


def own_subject(study: Study, detector: str, classifier: str | None) -> Subject:
    """Return a detector of the user's own.

    Args:
        study: Of a run, whose data are used and, unless another is given, its classifier.
        detector: Path of a checkpoint (.ckpt), or a class or function by its path, `my.module.MyDetector`; it is called
            with what it takes of `classifier` and `saliency`, its own random weights drawn from a fixed seed.
        classifier: Path of a checkpoint or class path in the same way; None: the run's.

    Raises:
        TypeError: If what a path names cannot be called, or makes no module.
        ValueError: If a path cannot be imported, what it names cannot be built, or does not take the run's images.
    """
    attacked: nn.Module = study.classifier
    if classifier is not None:
        image = next(iter(study.data.calibration_dataloader())).images[:1]
        attacked = own_classifier(classifier, study.device, image, study.data.classes)
    offered: dict[str, Callable[[], Any]] = {"classifier": lambda: attacked, "saliency": lambda: study.saliency}
    module = built_from(detector, offered, Portable).to(study.device).eval()
    reader = None
    if not isinstance(module, Detector):
        some = next(iter(study.data.calibration_dataloader())).images
        module = reader = read_scores(detector, module, some.to(study.device))
    calibration = takes(detector, partial(study.scored, module))
    remark = "" if reader is None else reader.calibrate(calibration)
    contender = Contender(name_of(detector), None, None, module, calibration.sort().values)
    return Subject(contender, BEFORE, shared(attacked, module), remark)


def broken_subject(study: Study, model: nn.Module) -> Subject:
    """Return a detector that is broken on purpose, beside a classifier: it only looks at the mean brightness."""
    module = _Brightness()
    return Subject(Contender("broken", None, None, module, study.scored(module)), BEFORE, model)


class _Brightness(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))
