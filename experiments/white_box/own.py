"""A detector of the user's own under attack."""

from collections.abc import Callable
from typing import Any

from experiments.own import built_from, name_of, own_classifier, takes
from experiments.study import Contender, Study
from experiments.white_box.subjects import BEFORE, Subject, calibrated, shared
from saliency.checkpoints import Portable


def own_subject(study: Study, detector: str, classifier: str | None) -> Subject:
    """Return a detector of the user's own.

    Args:
        study: Of a run, whose data are used and, unless another is given, its classifier.
        detector: Path of a checkpoint (.ckpt), or a class or function by its path, `my.module.MyDetector`; it is called
            with what it takes of `classifier` and `saliency`, its own random weights drawn from a fixed seed.
        classifier: Path of a checkpoint or class path in the same way; None: the run's.

    Raises:
        TypeError: If what a path names is not callable, or makes no module.
        ValueError: If a path names nothing, what it names cannot be built, or does not take the run's images.
    """
    attacked = study.classifier if classifier is None else own_classifier(study, classifier)
    offered: dict[str, Callable[[], Any]] = {"classifier": lambda: attacked, "saliency": lambda: study.saliency}
    module = built_from(detector, offered, Portable).to(study.device).eval()
    calibration = takes(detector, lambda: calibrated(study, module))
    contender = Contender(name_of(detector), None, None, module, calibration)
    return Subject(contender, BEFORE, shared(attacked, module))
