"""The subjects: the detectors of a run before and after retraining, the training-free ones, and a user's own."""

from torch import Tensor, nn

from attacks.errors import InputError
from data.store.identity import of_module
from detectors import Detector, load
from experiments.study.contenders import Contender
from experiments.study.study import Study
from experiments.study.user_modules import MissingPartError, name_of, own_classifier
from experiments.training.run_folder import Run
from experiments.white_box.attacker import Subject
from experiments.white_box.records import AFTER, BEFORE


def subjects(study: Study, trained_on: str, seeds: list[int]) -> list[Subject]:
    """Return the detectors of a study: each before and, where it was, after retraining; then those without training.

    Args:
        study: The run under evaluation.
        trained_on: Name of the attack that the detectors were trained on.
        seeds: Seeds of the trained detectors.
    """
    run = study.run
    trained = []
    for name, seed in ((name, seed) for name in filter(study.wants, run.settings.detectors) for seed in seeds):
        study.require(run.detector_path(name, trained_on, seed))
        phases = {BEFORE: run.detector(name, trained_on, seed)}
        if trained_on == start_of(run) and run.retrained_path(name, seed).is_file():
            phases[AFTER] = run.retrained(name, seed)
        for phase, detector in phases.items():
            module = detector.to(study.device).eval()
            contender = Contender(name, trained_on, seed, module, study.calibration(module))
            trained.append(Subject(contender, phase, shared(study.classifier, module)))
    others = [*study.training_free, *study.own]
    attacked = [
        *trained,
        *(Subject(contender, BEFORE, shared(study.classifier, contender.module)) for contender in others),
    ]
    if not attacked:
        msg = "no detector is left to attack: give --detectors, names of the run's, class paths or checkpoints"
        raise InputError(msg)
    return attacked


def start_of(run: Run) -> str:
    """Return the attack whose detectors a run retrains; without retraining the first that it trains on."""
    retrain, train_on = run.settings.retrain, run.settings.train_on
    return train_on[0] if retrain is None or retrain.start is None else retrain.start


def over_second_classifier(study: Study, subject: Subject) -> Subject | None:
    """Return a detector of the same kind on the second classifier, for attacks that transfer.

    A trained detector comes from another seed of the run, with the same saliency model.

    Returns:
        None if the run lacks a second classifier or another seed, or the detector uses the second classifier itself or
        is not of the run.
    """
    second, mine = study.second, subject.contender
    free = mine.seed is None
    if second is None or (free and mine.name not in study.run.settings.sections["training_free"]):
        return None
    try:
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
    """Return a detector of the user's own beside a classifier, a checkpoint or class path; None: the run's."""
    sections = study.run.settings.sections
    if detector in {*sections["detectors"], *sections["training_free"]}:
        msg = f"--detector is for a detector of your own: give --detectors '[{detector}]' for that of the run"
        raise InputError(msg)
    attacked = None
    if classifier is not None:
        image = next(iter(study.data.calibration_dataloader())).images[:1]
        attacked = own_classifier(classifier, study.device, image, study.data.classes)
    contender = study.own_contender(name_of(detector), detector, attacked)
    return Subject(contender, BEFORE, shared(attacked or study.classifier, contender.module))


def broken_subject(study: Study, model: nn.Module) -> Subject:
    """Return a detector that is broken on purpose, beside a classifier: it only looks at the mean brightness."""
    module = _Brightness()
    return Subject(Contender("broken", None, None, module, study.scored(module)), BEFORE, model)


class _Brightness(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))
