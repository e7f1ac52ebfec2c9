"""A study of a finished run, without the command line."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.progress import Progress

from experiments.study.study import Study
from experiments.training.run_folder import Run


def study_of(folder: Path, detectors: Sequence[str] | None = None) -> Study:
    """Return a study on the CPU that shows no progress, of detectors as `--detectors` takes them."""
    progress = Progress(disable=True)
    return Study(Run(folder), torch.device("cpu"), progress, ["python", "evaluate.py", "test"], detectors)


def copy_of(finished: Path, folder: Path) -> Path:
    """Return a copy of a run without its report."""
    copy = folder / "copy"
    shutil.copytree(finished, copy, ignore=shutil.ignore_patterns("report"))
    return copy
