"""A detector of the user's own, and a classifier: built by their paths, or read from checkpoints."""

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detectors import Classifier, load
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
    attacked: nn.Module = study.classifier
    if classifier is not None:
        attacked = _built(classifier, {}, Classifier).to(study.device).eval()
        _takes(classifier, lambda: _logits_of(attacked, study))
    offered: dict[str, Callable[[], Any]] = {"classifier": lambda: attacked, "saliency": lambda: study.saliency}
    module = _built(detector, offered, Portable).to(study.device).eval()
    calibration = _takes(detector, lambda: calibrated(study, module))
    contender = Contender(name_of(detector), None, None, module, calibration)
    return Subject(contender, BEFORE, shared(attacked, module))


def name_of(path: str) -> str:
    """Return the name of a user's own detector: of its class, or of the folders of its checkpoint."""
    if not path.endswith(".ckpt"):
        return path.rpartition(".")[2].lower()
    return re.sub(r"[^a-z0-9]+", "-", "-".join(Path(path).with_suffix("").parts[-5:]).lower()).strip("-")


def _logits_of(classifier: nn.Module, study: Study) -> Tensor:
    """Return logits of a clean image.

    Raises:
        ValueError: If they are not (1, K) for the K classes of the data.
    """
    image = next(iter(study.data.calibration_dataloader())).images[:1].to(study.device)
    logits: Tensor = classifier(image)
    if tuple(logits.shape) != (1, study.data.classes):
        needed = (1, study.data.classes)
        msg = f"it gives an output of shape {tuple(logits.shape)} for one image, but the data need logits {needed}"
        raise ValueError(msg)
    return logits


def _takes(path: str, ask: Callable[[], Tensor]) -> Tensor:
    """Return an answer of a user's own module, or say in a sentence that it does not take the run's images."""
    try:
        with torch.no_grad():
            return ask()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        msg = f"{path} does not take the run's images ({reason}): use one made for them"
        raise ValueError(msg) from error


def _built(path: str, offered: Mapping[str, Callable[[], Any]], kind: type[Portable]) -> nn.Module:
    """Return what a path names: of `kind` if it is a checkpoint, else any module."""
    if path.endswith(".ckpt"):
        return load(path, kind)
    package, _, name = path.rpartition(".")
    try:
        maker = getattr(importlib.import_module(package), name)
        taken = inspect.signature(maker).parameters
    except Exception as error:
        msg = (
            f"{path} names nothing that can be called ({error}): give a class path as my.module.MyDetector, or a .ckpt"
        )
        raise ValueError(msg) from error
    plain = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [key for key, each in taken.items() if each.default is each.empty and each.kind not in plain]
    lacking = [key for key in needed if key not in offered]
    if lacking:
        msg = (
            f"{path} needs {', '.join(lacking)} as well, but is given {', '.join(offered) or 'nothing'} only: give the "
            "others defaults, or name a function that builds it"
        )
        raise ValueError(msg)
    given = {key: give() for key, give in offered.items() if key in taken}
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            built = maker(**given)
    except Exception as error:
        msg = f"{path} cannot be built ({type(error).__name__}: {error}): name a function that builds it"
        raise ValueError(msg) from error
    if not isinstance(built, nn.Module):
        msg = f"{path} makes a {type(built).__name__}: it must make a torch.nn.Module"
        raise TypeError(msg)
    return built
