"""Whether the project works with the installed versions, in a minute: `python -m tests.smoke` in the project's root.

Imports every module, makes mistakes on command lines, runs every attack and saliency method on a small network, fits
five batches, trains a tiny pipeline and evaluates it.
"""

import contextlib
import importlib
import io
import pkgutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

import torch

from detectors import Classifier
from tests.attacks import cases
from tests.attacks.white_box import cases as white_box
from tests.experiments.conftest import pipeline_file
from tests.fixtures import CLASSES, SHAPE
from tests.saliency.maps.cases import METHODS

PACKAGES = ("attacks", "saliency", "detectors", "data", "experiments")


def imports() -> int:
    """Import every module of the packages and both scripts; return their number."""
    names = ["train", "evaluate"]
    for package in PACKAGES:
        folder = importlib.import_module(package).__path__
        names += [module.name for module in pkgutil.walk_packages(folder, f"{package}.")]
    for name in names:
        importlib.import_module(name)
    return len(names)


def attacks() -> int:
    """Run every attack of the contracts; return their number."""
    images = torch.rand(4, *SHAPE)
    model = cases.linear_model(SHAPE, CLASSES).eval()
    detector = white_box.Watcher(model).eval()
    both = cases.ALL | white_box.ALL
    for attack in both.values():
        labels = cases.goals(attack, model, images)
        _check(attack(model, images, labels, detector=detector if attack.needs_detector else None), images)
    return len(both)


def maps() -> int:
    """Run every saliency method of the contract; return their number."""
    classifier, images = Classifier(SHAPE, CLASSES, widths=(4,)).eval(), torch.rand(4, *SHAPE)
    for method in METHODS.values():
        _check(method(classifier, images), images)
    return len(METHODS)


def fit() -> int:
    """Fit a classifier on five batches by the command; return the number of commands."""
    model = ["--model", "detectors.Classifier", "--model.shape", "[1,28,28]", "--model.classes", "10"]
    trainer = ["--trainer.accelerator", "cpu", "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "5"]
    _command("train", ["fit", *model, "--data", "data.Digits", *trainer, "--trainer.default_root_dir", "fit"])
    return 1


def evaluation() -> int:
    """Train a tiny pipeline and evaluate it; return the number of commands."""
    _command("train", ["pipeline", "--config", str(pipeline_file(Path(), Path("run")))])
    _command("evaluate", ["transfer", "--run", "run", "--resamples", "50"])
    return 2


def refusals() -> int:
    """Make mistakes on command lines, whose answers read the parser's messages; return their number."""
    model = ["--model", "detectors.Classifier", "--model.shape", "[1,28,28]", "--model.classes", "10"]
    fit = ["fit", *model, "--data", "data.Digits"]
    cases = {
        "model: unknown key 'widht'. Did you mean 'widths'? Accepted: shape, ": ("train", [*fit, "--model.widht", "3"]),
        "trainer: unknown key 'max_epoch'. Did you mean 'max_epochs'?": ("train", [*fit, "--trainer.max_epoch", "3"]),
        "trainer.max_epochs: expected a whole number or null, got x": ("train", [*fit, "--trainer.max_epochs", "x"]),
        "schedule in model: expected one of ": ("train", [*fit, "--model.schedule", "cyclic"]),
        "model: unknown class_path 'detectors.JDS'. Did you mean 'detectors.JSD'?": (
            "train",
            ["fit", "--model=detectors.JDS"],
        ),
        "model: the following arguments are required: shape, classes": ("train", ["fit", *model[:2], *fit[-2:]]),
        "the following arguments are required: --model": ("train", ["fit"]),
        "unknown command 'transfr'. Did you mean 'transfer'?": ("evaluate", ["transfr"]),
        "unknown key 'resample'. Did you mean 'resamples'? Accepted: ": ("evaluate", ["transfer", "--resample", "3"]),
        "methods: expected the class_path of a SaliencyMethod, got 7": (
            "evaluate",
            ["recover", "--run=x", "--methods={a: 7}"],
        ),
    }
    for sentence, (script, arguments) in cases.items():
        with contextlib.redirect_stderr(io.StringIO()) as shown:
            status = importlib.import_module(script).main(arguments)
        if status != 2 or not shown.getvalue().startswith(f"error: {sentence}"):
            msg = f"{arguments} ended with status {status} and {shown.getvalue()!r}, not with {sentence!r}"
            raise ValueError(msg)
    return len(cases)


def _check(found: torch.Tensor, images: torch.Tensor) -> None:
    if found.shape[0] != len(images) or found.shape[2:] != images.shape[2:] or not found.isfinite().all():
        msg = f"got values of shape {tuple(found.shape)}, finite: {bool(found.isfinite().all())}"
        raise ValueError(msg)


def _command(script: str, arguments: list[str]) -> None:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        status = importlib.import_module(script).main(arguments)
    if status:
        msg = f"{script}.py {arguments[0]} ended with status {status}: {shown.getvalue()[-2000:]}"
        raise RuntimeError(msg)


def main() -> None:
    """Run all parts in a folder that goes away; the first error ends it."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    sys.path.insert(0, str(Path.cwd()))
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for part in (imports, refusals, attacks, maps, fit, evaluation):
            start = time.perf_counter()
            count = part()
            sys.stdout.write(f"{part.__name__}: {count}, {time.perf_counter() - start:.0f} s\n")


if __name__ == "__main__":
    main()
