"""Who is attacked: the detectors of a run before and after retraining, the training-free ones, or a user's own."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from torch import Tensor, nn

from data.identity import of_module
from detectors import Detector, Thresholded, load
from experiments.measures import WORKING_RATE
from experiments.scoring import clean_scores
from experiments.study import Contender, Study

BEFORE: Final = "before"
AFTER: Final = "after"


@dataclass(frozen=True)
class Subject:
    """A detector under attack.

    Attributes:
        contender: The detector.
        phase: before or after retraining; a detector that is never retrained is always before.
        model: The attacked classifier: the detector's own where it holds it, so that a pass is shared.
    """

    contender: Contender
    phase: str
    model: nn.Module

    @property
    def name(self) -> str:
        """The name of the detector."""
        return self.contender.name

    @property
    def learnt(self) -> bool:
        """Whether score 0 is probability .5, as in every detector that was trained by this project."""
        return isinstance(self.contender.module, Detector)

    def aimed(self, false_positive_rate: float | None = WORKING_RATE) -> Thresholded:
        """Return the detector aimed at a false-positive rate; None: at probability .5.

        Raises:
            ValueError: If there are too few calibration images for that rate.
        """
        module = self.contender.module
        if false_positive_rate is None:
            return Thresholded(module)
        return Thresholded.at_rate(module, self.contender.calibration, false_positive_rate)

    @property
    def ours(self) -> bool:
        """Whether it has the authors' step of the representation."""
        module = self.contender.module
        return isinstance(module, Detector) and type(module).on_pixels is not Detector.on_pixels

    def parts(self, images: Tensor) -> tuple[str, ...]:
        """Return the names of the parts that the detector lets an attack go against, asked on images (N, C, H, W)."""
        if not hasattr(self.contender.module, "surrogates"):
            return ()
        _, _, found = self.contender.module.surrogates(images.clone().requires_grad_())  # type: ignore[operator]
        return tuple(found)


def subjects(study: Study, trained_on: str, seeds: list[int], names: list[str] | None = None) -> list[Subject]:
    """Return the detectors of a run: each before and, where it was, after retraining; then the training-free ones.

    Args:
        study: Of the run.
        trained_on: Name of the attack that the detectors were trained on.
        seeds: Of the detectors.
        names: Of the detectors, the training-free ones among them; None: all.

    Raises:
        FileNotFoundError: If a detector is missing; says which command makes it.
        ValueError: If a name is none of a detector of the run.
    """
    run, found = study.run, []
    known = [*run.settings.detectors, *(each.name for each in study.training_free)]
    wanted = known if names is None else names
    if not wanted or not set(wanted) <= set(known):
        msg = f"detectors must be some of {', '.join(known)}; got {', '.join(wanted) or 'none'}"
        raise ValueError(msg)
    for name in (each for each in run.settings.detectors if each in wanted):
        for seed in seeds:
            path = run.detector_path(name, trained_on, seed)
            study.require(path)
            found.append(_trained(study, name, trained_on, seed, BEFORE, run.detector(name, trained_on, seed)))
            if run.retrained_path(name, seed).is_file():
                found.append(_trained(study, name, trained_on, seed, AFTER, run.retrained(name, seed)))
    free = [Subject(each, BEFORE, study.classifier) for each in study.training_free if each.name in wanted]
    return [*found, *free]


def _trained(study: Study, name: str, trained_on: str, seed: int, phase: str, detector: Detector) -> Subject:
    module = detector.to(study.device).eval()
    calibration = module.calibration.cpu() if len(module.calibration) else calibrated(study, module)
    return Subject(Contender(name, trained_on, seed, module, calibration), phase, shared(study.classifier, module))


def shared(classifier: nn.Module, detector: nn.Module) -> nn.Module:
    """Return the classifier inside a detector if it equals the attacked one, else the attacked one."""
    own = getattr(detector, "classifier", None)
    return own if isinstance(own, nn.Module) and of_module(own) == of_module(classifier) else classifier


def calibrated(study: Study, module: nn.Module) -> Tensor:
    """Return the sorted scores (n,) of the clean calibration images."""
    return clean_scores(module, study.data.calibration_dataloader(), study.device).sort().values


def own_subject(study: Study, detector: str, classifier: str | None) -> Subject:
    """Return a detector of the user's own.

    Args:
        study: Of a run, whose data are used and, unless another is given, its classifier.
        detector: Path of a checkpoint (.ckpt), or a class or function by its path, `my.module.MyDetector`; it is called
            with what it takes of `classifier` and `saliency`.
        classifier: Path of a checkpoint or class path in the same way; None: the run's.

    Raises:
        ValueError: If a path names nothing, or what it names cannot be built without more arguments.
    """
    attacked = study.classifier if classifier is None else _built(classifier, {}).to(study.device).eval()
    offered: dict[str, Callable[[], Any]] = {"classifier": lambda: attacked, "saliency": lambda: study.saliency}
    module = _built(detector, offered).to(study.device).eval()
    name = detector.removesuffix(".ckpt").replace("/", ".").rpartition(".")[2].lower()
    contender = Contender(name, None, None, module, calibrated(study, module))
    return Subject(contender, BEFORE, shared(attacked, module))


def _built(path: str, offered: Mapping[str, Callable[[], Any]]) -> nn.Module:
    if path.endswith(".ckpt"):
        return load(path)
    package, _, name = path.rpartition(".")
    try:
        maker = getattr(importlib.import_module(package), name)
    except (ImportError, AttributeError, ValueError) as error:
        msg = f"{path} names nothing ({error}): give a class path as my.module.MyDetector, or the path of a .ckpt"
        raise ValueError(msg) from error
    taken = inspect.signature(maker).parameters
    needed = [
        key for key, each in taken.items() if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    lacking = [key for key in needed if key not in offered]
    if lacking:
        msg = (
            f"{path} needs {', '.join(lacking)} as well, but is given {', '.join(offered) or 'nothing'} only: give the "
            "others defaults, or name a function that builds it"
        )
        raise ValueError(msg)
    built = maker(**{key: give() for key, give in offered.items() if key in needed})
    if not isinstance(built, nn.Module):
        msg = f"{path} makes a {type(built).__name__}: it must make a torch.nn.Module"
        raise TypeError(msg)
    return built
