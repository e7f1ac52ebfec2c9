"""`evaluate.py scan`: which image files are adversarial."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from attacks.errors import InputError
from data.decoding.decode import UndecodableError, decode_all, size_of
from data.decoding.files import shown
from detectors import Detector, Thresholded
from experiments.guard.detector import detector_of, parser_of
from experiments.guard.files import image_files
from experiments.guard.overlays import Overlays
from experiments.guard.rows import WRITERS, FileVerdict, Format
from experiments.parser import Parser
from saliency.checkpoints import read

_AT_ONCE: Final = 64
"""Files that are judged together."""

FLAGGED: Final = 1
"""The exit status of `--fail_on_adversarial`."""


def run_scan(arguments: list[str]) -> None:
    """Judge files by the arguments of `evaluate.py scan`.

    Raises:
        UsageError: If they are not accepted.
        FileNotFoundError: If the checkpoint or a path does not exist, or a folder has no images.
        ValueError: If the checkpoint holds no detector, or it has too few calibration images for the
            rate, or no file is an image.
        SystemExit: With `FLAGGED`, if that is asked for and a file is adversarial.
    """
    options = _parser().parse_args(arguments)
    guard = detector_of(options, options.device)
    files = image_files(options.paths)
    overlays = Overlays(guard, Path(options.maps), files) if options.maps else None
    scan = Scan(guard, options.fpr, overlays, _class_names(options.detector, guard.classes))
    WRITERS[options.format](scan.rows(files))
    if not scan.images:
        msg = f"none of {scan.unusable} files could be judged: give images"
        raise InputError(msg)
    _tell(scan.summary())
    if options.fail_on_adversarial and scan.adversarial:
        raise SystemExit(FLAGGED)


def _parser() -> Parser:
    about = "Say of image files of any size whether they are adversarial: score, probability, verdict, predicted class."
    parser = parser_of("scan", about, "--detector runs/digits/detectors/spd/fgsm/seed_0/model.ckpt photos/")
    parser.add_argument(
        "paths", type=str, nargs="+", help="Image files, and folders with images at any depth; - reads a path a line "
        "from standard input."
    )  # fmt: skip
    parser.add_argument(
        "--format", type=Format, default="table", help="What goes to standard output: a table, CSV or JSON lines."
    )
    parser.add_argument(
        "--maps", type=str, default="", help="Folder for a PNG of each image, with its saliency map laid over it."
    )
    parser.add_argument(
        "--fail_on_adversarial",
        "--fail-on-adversarial",
        action="store_true",
        help=f"End with exit status {FLAGGED} if a file is adversarial.",
    )
    parser.add_argument(
        "--device", type=str, default="auto", help="cpu, cuda, cuda:1, ...; auto: a GPU if there is one."
    )
    return parser


def _class_names(checkpoint: str, classes: int) -> list[str] | None:
    """Return the names of the classes that a fit on a folder of images left in a checkpoint; None: there are none."""
    names = read(checkpoint).get("class_names")
    if not isinstance(names, list) or len(names) != classes:
        return None
    return [shown(str(name)) for name in names]


class Scan:
    """The verdicts of a detector on files, and counts of each verdict.

    Args:
        guard: The detector.
        rate: The false-positive rate of its threshold.
        overlays: Writes a map of each image; None: no maps.
        class_names: Names of the classes, by number; None: they have none.
    """

    def __init__(
        self, guard: Detector, rate: float, overlays: Overlays | None = None, class_names: Sequence[str] | None = None
    ) -> None:
        self.guard = guard
        self.rate = rate
        self.overlays = overlays
        self.class_names = class_names
        self.threshold = Thresholded.at_rate(guard, guard.calibration, rate).threshold
        self.images = self.adversarial = self.unusable = 0
        self._told_size = False

    def rows(self, files: Sequence[str]) -> Iterator[FileVerdict]:
        """Yield the verdict on each file, in their order; tell on standard error which cannot be judged."""
        console = Console(stderr=True)
        starts = range(0, len(files), _AT_ONCE)
        for start in track(starts, "scanning", console=console, transient=True, disable=not console.is_terminal):
            yield from self._judge(files[start : start + _AT_ONCE])

    def summary(self) -> str:
        """Return a sentence about all files."""
        files = f"{self.unusable} {'file' if self.unusable == 1 else 'files'}"
        return (
            f"{self.adversarial} of {self.images} images are adversarial: their score is above {self.threshold:.4g}, "
            f"as that of {100 * self.rate:g} % of clean images like those of the detector's calibration."
        ) + f" {files} could not be judged." * bool(self.unusable)

    def _judge(self, files: Sequence[str]) -> list[FileVerdict]:
        decoded = decode_all(files, self.guard.shape, told=(UndecodableError, OSError))
        errors = {file: str(image) for file, image in zip(files, decoded, strict=True) if isinstance(image, Exception)}
        usable = [file for file in files if file not in errors]
        pixels = [image for image in decoded if not isinstance(image, Exception)]
        images = torch.from_numpy(np.stack(pixels or [np.empty(self.guard.shape, np.uint8)])[: len(usable)])
        self._tell_of(usable, errors)
        rows = self._verdicts(usable, images.float().div_(255))
        return [rows.get(file) or FileVerdict(file, error=errors[file]) for file in files]

    def _verdicts(self, files: Sequence[str], images: Tensor) -> dict[str, FileVerdict]:
        verdict = self.guard.judge(images, self.rate)
        self.images += len(files)
        self.adversarial += int(verdict.is_adversarial.sum())
        if self.overlays is not None:
            self.overlays.write(files, images)
        columns = verdict.score, verdict.probability, verdict.is_adversarial, verdict.predicted, verdict.confidence
        values = zip(*(column.tolist() for column in columns), strict=True)
        names = [self.class_names[number] if self.class_names else None for number in verdict.predicted]
        rows = (FileVerdict(file, *of_file) for file, of_file in zip(files, values, strict=True))
        return {row.file: replace(row, class_name=name) for row, name in zip(rows, names, strict=True)}

    def _tell_of(self, usable: Sequence[str], errors: dict[str, str]) -> None:
        """Report files that cannot be judged, and once that images are scaled."""
        self.unusable += len(errors)
        for error in errors.values():
            _tell(error)
        _, height, width = self.guard.shape
        other = None if self._told_size else next((file for file in usable if size_of(file) != (height, width)), None)
        if other is not None:
            self._told_size = True
            size = " x ".join(map(str, reversed(size_of(other))))
            _tell(
                f"images of another size than {width} x {height} are scaled by their short side, and the rest is cut "
                f"off, as for training; the first is {shown(other)} ({size})"
            )


def _tell(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
