"""Attacks of other libraries as functions of (model, images, labels); a missing library is left out."""

import importlib
import logging
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

from torch import Tensor, from_numpy, nn

from attacks.adapter import import_advertorch

Contender = Callable[[nn.Module, Tensor, Tensor], Tensor]


def advertorch(name: str, **parameters: Any) -> Contender | None:
    """Return an attack of advertorch."""
    library = _library("advertorch")
    return library and (
        lambda model, images, labels: (
            getattr(library, name)(model, **parameters).perturb(images.clone(), labels).detach()
        )
    )


def torchattacks(name: str, **parameters: Any) -> Contender | None:
    """Return an attack of torchattacks; its models give logits, its images lie in [0, 1]."""
    library = _library("torchattacks")
    return library and (
        lambda model, images, labels: getattr(library, name)(model, **parameters)(images, labels).detach()
    )


def foolbox(name: str, budget: float | None = None, **parameters: Any) -> Contender | None:
    """Return an attack of foolbox: of fixed budget, or of minimal norm."""
    library = _library("foolbox")
    if library is None:
        return None
    attack = getattr(library.attacks, name)(**parameters)

    def run(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        wrapped = library.PyTorchModel(model, bounds=(0, 1), device=images.device)
        criterion = library.criteria.Misclassification(labels)
        size = {} if budget is None else {"epsilon": budget}
        adversarial: Tensor = attack.run(wrapped, images, criterion, **size)
        return adversarial

    return run


def art(name: str, **parameters: Any) -> Contender | None:
    """Return an attack of ART, which works on NumPy arrays."""
    evasion, estimators = _library("art.attacks.evasion"), _library("art.estimators.classification")
    if evasion is None or estimators is None:
        return None

    def run(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        classes = model(images[:1]).shape[1]
        options = {"clip_values": (0, 1), "device_type": "gpu" if images.is_cuda else "cpu"}
        estimator = estimators.PyTorchClassifier(model, nn.CrossEntropyLoss(), images.shape[1:], classes, **options)
        attack = getattr(evasion, name)(estimator, **parameters)
        return from_numpy(attack.generate(images.cpu().numpy(), labels.cpu().numpy())).to(images.device)

    return run


def refused(reason: str) -> Contender:
    """Return a contender that fails at once, and says why."""

    def run(_model: nn.Module, _images: Tensor, _labels: Tensor) -> Tensor:
        raise MemoryError(reason)

    return run


@cache
def _library(name: str) -> Any:
    logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    try:
        return import_advertorch() if name == "advertorch" else importlib.import_module(name)
    except ImportError as error:
        print(f"left out: {name} ({error})")
        return None
