"""A run under evaluation: its parts, its test images under its attacks, and each detector's scores on them."""

import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import torch
from rich.progress import Progress
from torch import Tensor, nn

from attacks.errors import InputError, unknown
from data import ImageData
from data.batches import Images
from data.store.identity import of_file
from detectors import Classifier, Detector
from detectors.scoring import clean_scores
from experiments.results.durations import in_words
from experiments.study.contenders import Contender
from experiments.study.fitted_detectors import EPOCHS, FitImages, fit_detector
from experiments.study.images import AttackedSet, TestImages
from experiments.study.own_detector import read_scores
from experiments.study.ranks import first
from experiments.study.training_pairs import training_pairs
from experiments.study.user_modules import (
    GivenDetector,
    MissingPartError,
    Offers,
    given_detector,
    given_name,
    is_class,
    name_of,
    takes,
    training_free_detector,
)
from experiments.training.run_folder import Run
from experiments.training.run_inputs import check_record
from saliency import SaliencyModel

PACKAGES: Final = (
    *("adversarial-saliency", "torch", "torchvision", "lightning", "torchmetrics", "captum", "numpy"),
    *("scikit-image", "scikit-learn"),
)
"""Packages whose versions the meta data name."""


class Study:
    """A run under evaluation; each part is loaded or computed when it is first asked for.

    Args:
        run: The run.
        device: Where to compute.
        progress: Shows the progress of long steps.
        command: The command line, for the meta data.
        detectors: Names of the run's detectors, trained or training-free, and others by class path or checkpoint
            (.ckpt); None: all of the run.

    Attributes:
        left_out: Why detectors are left out that the user did not name, by class path; see `of_detectors`.

    Raises:
        FileNotFoundError: If a needed stage is missing, from the part that needs it; says which command makes it.
        ValueError: If the run has no detector of a name, or `detectors` is empty or names one twice.
    """

    def __init__(
        self,
        run: Run,
        device: torch.device,
        progress: Progress,
        command: list[str],
        detectors: Sequence[str] | None = None,
    ) -> None:
        self.run = run
        self.detectors = detectors
        self.device = device
        self.progress = progress
        self.command = command
        self.left_out: dict[str, str] = {}
        self._strict = True
        self._under: dict[str, AttackedSet] = {}
        if detectors is not None:
            _check_detectors(detectors, [*run.settings.detectors, *run.settings.sections["training_free"]])

    @cached_property
    def data(self) -> ImageData:
        """The image data module, downloaded and split."""
        data = self.run.data()
        first(data.prepare_data)
        data.setup()
        check_record(self.run.folder, data)
        return data

    @cached_property
    def classifier(self) -> Classifier:
        """The attacked classifier."""
        self.require(self.run.classifier_path(self.run.settings.seeds[0]))
        return self.run.classifier().to(self.device)

    @cached_property
    def second(self) -> Classifier | None:
        """A classifier of another seed; None if the run has none, or it has the same weights as the attacked one."""
        if not self.run.second_path().is_file():
            return None
        second = self.run.second().to(self.device)
        weights, others = self.classifier.state_dict(), second.state_dict()
        if weights.keys() == others.keys() and all(torch.equal(weights[name], others[name]) for name in weights):
            self.progress.console.print(
                "the second classifier has the same weights as the attacked one: what needs another one is left out"
            )
            return None
        return second

    @cached_property
    def saliency(self) -> SaliencyModel | None:
        """The learnt saliency model; None if the run's settings have none."""
        if not self.run.settings.sections["saliency"]:
            return None
        self.require(self.run.saliency_path("mask"))
        return self.run.saliency().to(self.device)

    @cached_property
    def trained(self) -> list[Contender]:
        """The trained detectors."""
        settings = self.run.settings
        names = filter(self.wants, settings.detectors)
        wanted = [(d, a, s) for d in names for a in settings.train_on for s in settings.seeds]
        self.require(*(self.run.detector_path(*key) for key in wanted))
        return [self._contender(*key) for key in self.progress.track(wanted, description="detectors")]

    @cached_property
    def training_free(self) -> list[Contender]:
        """The training-free detectors, but for those that need a part which the run lacks."""
        contenders = []
        entries = {n: e for n, e in self.run.settings.sections["training_free"].items() if self.wants(n)}
        for name, entry in self.progress.track(entries.items(), description="training-free detectors"):
            try:
                module, seconds = self._training_free(name)
            except MissingPartError as error:
                self.progress.console.print(f"{name} is left out: {error}", highlight=False)
                continue
            calibration = takes(entry["class_path"], partial(self.calibration, module))
            contenders.append(Contender(name, None, None, module, calibration, fit_seconds=seconds))
        return contenders

    def training_free_detector(self, name: str, classifier: nn.Module | None = None) -> nn.Module:
        """Return a training-free detector of the run, on the device; one that has `fit` is fitted to its images.

        Args:
            name: The detector's name in the pipeline file.
            classifier: A classifier in place of the attacked one; then there is no second classifier.

        Raises:
            MissingPartError: If it needs a part that the run lacks.
            ValueError: If it cannot be built or fitted.
        """
        return self._training_free(name, classifier)[0]

    def _training_free(self, name: str, classifier: nn.Module | None = None) -> tuple[nn.Module, float | None]:
        """Return a training-free detector, and the seconds of its fit."""
        entry = self.run.settings.sections["training_free"][name]
        detector = training_free_detector(entry, self._parts(classifier)).to(self.device)
        trained = isinstance(detector, Detector)  # a checkpoint's wrapper, for example
        return detector, None if trained else self._fit(name, detector)

    @property
    def fit_images(self) -> FitImages:
        """What detectors are fitted to: clean images, and pairs under the first attack that the run trains on."""
        attacks, names = self.run.attacks(), self.run.settings.train_on
        attack = next((attacks[name] for name in names if name in attacks), next(iter(attacks.values())))
        options = self.classifier, attack, self.device, self.progress, self.run.store()
        return FitImages(self.data, attack, lambda: training_pairs(self.data, *options))

    @property
    def _fitted(self) -> Path:
        return self.run.report / "fitted"

    def of_detectors(self, detectors: Sequence[str], *, named: bool) -> "Study":
        """Return a study of other detectors that shares the results computed so far.

        Args:
            detectors: See `Study`.
            named: Whether the user named them. Else those that are not of the run and cannot be built or fitted are
                left out, with the reason in `left_out`.
        """
        other = Study(self.run, self.device, self.progress, self.command, detectors)
        shared = ("data", "classifier", "second", "saliency", "images", "_under")
        other.__dict__ |= {name: self.__dict__[name] for name in shared if name in self.__dict__}
        other._strict = named
        return other

    @property
    def contenders(self) -> list[Contender]:
        """The trained detectors, the training-free ones, then those that are not of the run."""
        return [*self.trained, *self.training_free, *self.own]

    @cached_property
    def own(self) -> list[Contender]:
        """The detectors that are not of the run; a name that is taken gets a number."""
        if self.detectors is None:
            return []
        taken = [*self.run.settings.detectors, *self.run.settings.sections["training_free"]]
        contenders = []
        for path in filter(_is_path, self.detectors):
            taken.append(name_of(path))
            count = taken.count(name_of(path))
            name = name_of(path) if count == 1 else f"{name_of(path)}-{count}"
            try:
                contenders.append(self.own_contender(name, path))
            except InputError as error:
                if self._strict:
                    raise
                self.left_out[path] = str(error)
        return contenders

    def own_contender(self, name: str, source: GivenDetector, classifier: nn.Module | None = None) -> Contender:
        """Return a detector that is not of the run; one that has `fit`, or is a class of trained ones, is fitted.

        Args:
            name: The detector's name in the tables.
            source: A checkpoint (.ckpt), or the path of a class or function, `my.module.Mine`, called with what it
                takes of `classifier`, `saliency` and `second`, its random weights drawn from a fixed seed. A
                module or a function from images to scores may be given itself.
            classifier: A classifier in place of the attacked one; then there is no second classifier.

        Raises:
            TypeError: If what the path names cannot be called, or makes no module.
            ValueError: If it cannot be imported, built or fitted, or does not take the run's images.
        """
        module = given_detector(source, self._parts(classifier)).to(self.device).eval()
        path = source if isinstance(source, str) else given_name(source)
        if isinstance(module, Detector):
            return self._trained_here(name, source, module) if is_class(source) else self._own(name, path, module)
        seconds = self._fit(name, module)
        some = next(iter(self.data.calibration_dataloader())).images
        reader = read_scores(path, module, some.to(self.device))
        calibration = takes(path, partial(self.scored, reader))
        remark = reader.calibrate(calibration)
        if remark:
            self.progress.console.print(remark, highlight=False, markup=False, soft_wrap=True)
        return Contender(name, None, None, reader, calibration.sort().values, remark, seconds)

    def _trained_here(self, name: str, source: GivenDetector, module: Detector) -> Contender:
        """Return a trained detector that was named by its class: nobody trained it yet."""
        seconds = self._fit(name, module)
        attack = type(self.fit_images.attack).__name__
        remark = f"{name} was trained here, {EPOCHS} epochs on the run's pairs under {attack}."
        self.progress.console.print(remark, highlight=False, markup=False, soft_wrap=True)
        return replace(self._own(name, str(source), module), remark=remark, fit_seconds=seconds)

    def _fit(self, name: str, detector: nn.Module) -> float | None:
        """Fit a detector as `fit_detector` does, and tell how long that took."""
        bar = self.progress.add_task(f"fit, {name}", total=None)
        try:
            seconds = fit_detector(name, detector, self.fit_images, self._fitted)
        finally:
            self.progress.remove_task(bar)
        if seconds is not None:
            self.progress.console.print(f"{name}: fitted in {in_words(seconds)}", highlight=False, markup=False)
        return seconds

    def _own(self, name: str, path: str, module: Detector) -> Contender:
        return Contender(name, None, None, module, takes(path, partial(self.scored, module)))

    def _parts(self, classifier: nn.Module | None = None) -> Offers:
        """Return the parts that detectors are built from; another classifier has no second one."""
        if classifier is not None:
            return {"classifier": lambda: classifier, "saliency": lambda: self.saliency, "second": lambda: None}
        return {
            "classifier": lambda: self.classifier,
            "saliency": lambda: self.saliency,
            "second": lambda: self.second,
        }

    def wants(self, name: str) -> bool:
        """Return whether a detector of the run is evaluated."""
        return self.detectors is None or name in self.detectors

    @cached_property
    def images(self) -> TestImages:
        """The test images."""
        store = self.run.store()
        folder = None if store is None else self.run.report / "scores"
        return TestImages(self.data, self.classifier, self.device, self.progress, store, folder)

    def under(self, name: str) -> AttackedSet:
        """Return the test images under an attack of the run."""
        if name not in self._under:
            self._under[name] = self.images.under(name, self.run.attacks()[name])
        return self._under[name]

    @property
    def attacks(self) -> list[str]:
        """The names of the run's attacks."""
        return list(self.run.attacks())

    def meta(self) -> dict[str, Any]:
        """Return the facts that reproduce a table: versions, command, checkpoints, data, attacks."""
        run, settings = self.run, self.run.settings
        files = {str(path.relative_to(run.folder)): path for path in run.finished()}
        return provenance(self.command, files) | {
            "run": str(run.folder),
            "evaluated_detectors": None if self.detectors is None else list(self.detectors),
            "device": str(self.device),
            "seeds": settings.seeds,
            "attacks": {name: repr(attack) for name, attack in run.attacks().items()},
            "knowledge": "attacks know the classifier, not the detectors; untargeted, labels are the classifier's own",
            "data": type(self.data).__name__,
            "classes": self.data.classes,
            "splits": self.data.splits,
            "test_images": len(self.data.split("test")),
            "calibration_images": len(self.data.split("calibration")),
        }

    def require(self, *paths: Path) -> None:
        """Refuse to go on without finished stages.

        Raises:
            FileNotFoundError: If one is missing; says which command makes it.
        """
        folder, missing = self.run.folder, [path for path in paths if not path.is_file()]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            what = f"{folder} lacks {missing[0].parent.relative_to(folder)}{more}"
            msg = f"{what}: make it with `python train.py pipeline {self.run.resumed} --pipelines 1`"
            raise FileNotFoundError(msg)

    def calibration(self, module: nn.Module) -> Tensor:
        """Return a detector's sorted scores (n,) of the clean calibration images: its own, if it holds them."""
        if isinstance(module, Detector) and len(module.calibration):
            return module.calibration.cpu()
        return self.scored(module)

    def calibration_images(self, most: int) -> Images:
        """Return the first clean calibration images, at most `most`."""
        split = self.data.split("calibration")
        return split.__getitems__(list(range(min(most, len(split)))))

    def scored(self, module: nn.Module) -> Tensor:
        """Return a detector's sorted scores (n,) of the clean calibration images, computed anew."""
        return first(lambda: clean_scores(module, self.data.calibration_dataloader(), self.device).sort().values)

    def _contender(self, name: str, attack: str, seed: int) -> Contender:
        detector = self.run.detector(name, attack, seed).to(self.device)
        return Contender(name, attack, seed, detector, self.calibration(detector))


def _is_path(name: str) -> bool:
    """Tell whether a name is a class path or a checkpoint: a detector of a run has no dot in its name."""
    return "." in name


def _check_detectors(names: Sequence[str], accepted: Sequence[str]) -> None:
    if not names or len(set(names)) < len(names):
        msg = f"detectors must name different ones, at least one, or be null for all; got {list(names)}"
        raise InputError(msg)
    for name in names:
        if not _is_path(name) and name not in accepted:
            msg = f"{unknown('detector', name, accepted)}; one that is not of the run goes by class path or .ckpt"
            raise InputError(msg)


def provenance(command: list[str], files: Mapping[str, Path]) -> dict[str, Any]:
    """Return the versions, the command in one line, and the SHA-256 of each file."""
    return {
        "versions": package_versions(),
        "command": shlex.join(command),
        "checkpoints": {name: of_file(path) for name, path in files.items()},
    }


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str:
    """Return the version of a package; of a clone that runs without an install, that it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def plain(value: Any) -> Any:
    """Return an option's value as JSON can hold it."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)
