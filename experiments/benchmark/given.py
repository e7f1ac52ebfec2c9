"""A study of a detector, a classifier and images given as objects, without a run folder."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from rich.progress import Progress
from torch import Tensor, nn

from attacks import Attack
from attacks.errors import InputError, InputTypeError
from data import ImageData
from data.splits import divide, shuffled
from detectors import Classifier
from detectors.logits import logits_of
from experiments.study.study import Study
from experiments.study.user_modules import GivenDetector, built_from, given_name, takes
from experiments.training.run_folder import Run
from experiments.training.settings import Settings

SHARES = {"detector_train": 0.4, "calibration": 0.2, "test": 0.4}
"""How tensors are divided: the classifier was trained on other images."""

GivenData = ImageData | tuple[Tensor, Tensor]


class GivenTensors(ImageData):
    """Images and labels in memory, which the classifier was not trained on, in three parts; see `SHARES`.

    Args:
        images: (M, C, H, W), uint8 or float32 in [0, 1]; the latter are rounded to 8 bits.
        labels: (M,), the classes, from 0.
        classes: Number of classes.

    Raises:
        ValueError: If there is not one label for each image, or the images are of another kind.
    """

    def __init__(self, images: Tensor, labels: Tensor, classes: int) -> None:
        super().__init__()
        if images.ndim != 4 or labels.shape != images.shape[:1]:  # noqa: PLR2004 - (M, C, H, W)
            shapes = f"{tuple(images.shape)} and {tuple(labels.shape)}"
            msg = f"data must be images (M, C, H, W) and labels (M,), got tensors of shapes {shapes}"
            raise InputError(msg)
        self.pixels, self.labels = _bytes(images.cpu()), labels.cpu().long()
        self.shape = (images.shape[1], images.shape[2], images.shape[3])
        self.classes = classes

    def read(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return all images; none is marked as test."""
        return self.pixels, self.labels, None

    def _divide(self, count: int, is_test: Tensor | None) -> dict[str, Tensor]:  # noqa: ARG002 - the base's signature
        return divide(shuffled(count, self.split_seed), SHARES)


def _bytes(images: Tensor) -> Tensor:
    if images.dtype == torch.uint8:
        return images
    if not images.is_floating_point() or images.amin() < 0 or images.amax() > 1:
        ends = f"{images.amin().item():g} to {images.amax().item():g}"
        msg = f"images must be uint8, or float in [0, 1], got {images.dtype} from {ends}"
        raise InputError(msg)
    return (images * 255).round().to(torch.uint8)


class GivenRun(Run):
    """A run for objects that are given: no trained detectors, no store.

    Args:
        folder: Keeps fitted detectors for the time of the study.
        data: The images.
        attacks: Attacks by name; the first one's budget is that of the white-box attacks.
    """

    def __init__(self, folder: Path, data: ImageData, attacks: dict[str, Attack]) -> None:
        self.folder = folder
        self.apart = None
        self.trusted = True
        self.settings = Settings(
            run=str(folder),
            seeds=[0],
            pipelines=1,
            jobs=1,
            data=data,
            attacks=attacks,
            train_on=list(attacks)[:1],
            detectors={},
            store=None,
            retrain=None,
            sections={"saliency": None, "store": None, "training_free": {}},
            resolved="",
        )

    def finished(self) -> list[Path]:
        """Return no checkpoint: nothing was trained."""
        return []


def given_study(
    detector: GivenDetector,
    classifier: Classifier,
    data: ImageData,
    attacks: Mapping[str, Attack],
    folder: Path,
    progress: Progress,
) -> Study:
    """Return a study whose only detector is the one given, fitted if it can be."""
    name = given_name(detector)
    device = next((weights.device for weights in classifier.parameters()), torch.device("cpu"))
    study = Study(GivenRun(folder, data, dict(attacks)), device, progress, ["benchmark", name])
    study.data, study.classifier, study.second, study.saliency = data, classifier, None, None
    study.trained, study.training_free = [], []
    study.own = [study.own_contender(name, detector)]
    return study


def given_classifier(given: str | nn.Module, device: torch.device | None, data: GivenData) -> Classifier:
    """Return the attacked classifier, in eval mode.

    Args:
        given: A module; or a checkpoint (.ckpt), class or function by its path.
        device: Its device; None: where the weights are.
        data: The data whose images it must take.
    """
    network = built_from(given, {}, Classifier) if isinstance(given, str) else given
    if not isinstance(network, nn.Module):
        msg = f"classifier must be a torch.nn.Module or the path of a checkpoint, got {type(network).__name__}"
        raise InputTypeError(msg)
    network = network.to(device) if device is not None else network
    if isinstance(network, Classifier):
        return network.eval()
    device = next((weights.device for weights in network.parameters()), torch.device("cpu"))
    if isinstance(data, ImageData):
        shape, classes = data.shape, data.classes
    else:
        shape = (data[0].shape[1], data[0].shape[2], data[0].shape[3])
        image = torch.zeros(1, *shape, device=device)
        classes = takes(given_name(network), lambda: logits_of(network.eval()(image)), f"images {shape}").shape[-1]
    widths = (32, 64) if min(shape[1:]) >= _TWO_BLOCKS else (32,)  # of untrained networks that `transfer` compares with
    return Classifier(shape, classes, widths, network=network).to(device).eval()  # type: ignore[arg-type]


_TWO_BLOCKS = 10
"""Side in pixels from which on two blocks of the paper's network fit."""


@contextmanager
def as_it_was(*things: object) -> Iterator[None]:
    """Put modes and `requires_grad` of the modules among some things back afterwards."""
    modules = [part for thing in things if isinstance(thing, nn.Module) for part in thing.modules()]
    modes = [(module, module.training) for module in modules]
    weights = [(weight, weight.requires_grad) for module in modules for weight in module.parameters(recurse=False)]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for weight, trained in weights:
            weight.requires_grad_(trained)
