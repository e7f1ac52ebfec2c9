"""The most memory that an evaluation holds, by the number of its test images.

    python -m benchmarks.evaluation_memory --images 1000 4000

makes a run of small networks on made-up images of CIFAR-10's size for each number, evaluates all detectors under six
attacks in a process of its own, and prints that process's largest resident memory.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import torch
import yaml
from torch import Tensor

from benchmarks.kept import write
from data import ImageData
from experiments.results.text import markdown_table

_MODULE: Final = "benchmarks.evaluation_memory"

_TRAIN: Final = 500
"""Images that networks are trained and thresholds calibrated on."""

_ONE_EPOCH: Final = {"trainer": {"max_epochs": 1}}


class Made(ImageData):
    """Noise of CIFAR-10's size; the class is the channel that is the brightest.

    Args:
        images: Number of test images.
    """

    shape = (3, 32, 32)
    classes = 3

    def __init__(self, images: int) -> None:
        super().__init__()
        self.images = images

    def read(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return bytes, labels, and which images are for tests."""
        count = _TRAIN + self.images
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randint(256, (count, *self.shape), generator=generator, dtype=torch.uint8)
        labels = torch.randint(self.classes, (count,), generator=generator)
        pixels[torch.arange(count), labels] |= 64
        return pixels, labels, torch.arange(count) >= _TRAIN


def pipeline_of(run: Path, images: int) -> dict[str, Any]:
    """Return a pipeline file of small networks and six attacks."""
    steps = {"epsilon": 0.1, "step_size": 0.05, "steps": 2}
    attacks = {
        "fgsm": {"class_path": "attacks.FGSM", "init_args": {"epsilon": 0.1}},
        "large": {"class_path": "attacks.FGSM", "init_args": {"epsilon": 0.2}},
        **{name.lower(): {"class_path": f"attacks.{name}", "init_args": steps} for name in ("BIM", "MIM", "PGD")},
        "deepfool": {"class_path": "attacks.DeepFool", "init_args": {"steps": 5}},
    }
    return {
        "run": str(run),
        "seeds": [0],
        "trainer": {"accelerator": "cpu", "enable_progress_bar": False},
        "data": {"class_path": f"{_MODULE}.Made", "init_args": {"images": images}},
        "classifier": {"model": {"class_path": "detectors.Classifier", "init_args": {"widths": [4]}}, **_ONE_EPOCH},
        "saliency": None,
        "attacks": attacks,
        "detectors": {
            name: {"model": {"class_path": f"detectors.{name.upper()}"}, **_ONE_EPOCH} for name in ("id", "jsd")
        },
        "train_on": ["fgsm"],
    }


def peak(images: int, protocols: list[str]) -> dict[str, float]:
    """Return the largest resident memory, in MiB, of each protocol's process on a new run of so many test images."""
    with tempfile.TemporaryDirectory() as folder:
        run, file = Path(folder, "run"), Path(folder, "pipeline.yaml")
        file.write_text(yaml.safe_dump(pipeline_of(run, images)))
        _most("train.py", "pipeline", "--config", str(file))
        of_run = ("--run", str(run), "--device", "cpu", "--imports", f"[{_MODULE}]")
        return {protocol: _most("evaluate.py", protocol, *of_run) for protocol in protocols}


def _most(script: str, *arguments: str) -> float:
    """Run a command, and return the most memory that it held, in MiB."""
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, str(root / script), *arguments]
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL)  # noqa: S603 - our own
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        msg = f"{' '.join(command)} ended with status {os.waitstatus_to_exitcode(status)}"
        raise RuntimeError(msg)
    return usage.ru_maxrss / 1024


def main() -> None:
    """Print a table of the peaks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 4000], help="Numbers of test images.")
    parser.add_argument("--protocols", nargs="+", default=["all"], help="Commands of evaluate.py, in their order.")
    parser.add_argument("--json", type=Path, help="Write the rows there as well.")
    options = parser.parse_args()
    rows = [
        {"protocol": protocol, "images": images, "peak_mib": mib}
        for images in options.images
        for protocol, mib in peak(images, options.protocols).items()
    ]
    print(
        markdown_table(
            ["command", "test images", "peak MiB"],
            [[row["protocol"], row["images"], f"{row['peak_mib']:,.0f}"] for row in rows],
        )
    )
    write(options.json, options, rows)


if __name__ == "__main__":
    main()
