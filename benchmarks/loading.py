"""How fast images are decoded and loaded, beside how fast the paper's classifier trains on them.

    python -m benchmarks.loading --data FOLDER --size 32 --widths 32 64 128
    python -m benchmarks.loading --data FOLDER --size 112 --widths 32 64 128 128 --workers 0 1 2

FOLDER holds a sub-folder per class, or train/ and test/ with them. The table gives images per second: the first pass,
which decodes all files and keeps them in a temporary folder; epochs of the training loader from what was kept, and with
files decoded anew, by each number of workers; and training steps of the classifier. A loader does not hold training up
where its number is the larger one.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from benchmarks.kept import write
from benchmarks.measuring import wait
from data import ImageFolder, Images
from data.decoding.decode import cores
from detectors import Classifier


def main() -> None:
    """Measure and print the table."""
    options = _options()
    if options.threads:
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as cache:
        kept = _folder(options, cache)
        start = time.perf_counter()
        kept.prepare_data()
        decoding = time.perf_counter() - start
        count = len(kept.read()[1])
        print(f"{count} images {kept.shape} of {kept.classes} classes, {torch.get_num_threads()} threads, ", end="")
        print(f"{cores()} cores\n")
        print("| what | workers | images/s |\n|---|---|---|")
        rows = [_row("first pass: decode all files and keep them", None, count / decoding)]
        for what, where in {"images kept": cache, "images decoded anew": None}.items():
            speeds = ((workers, _loading(_folder(options, where, workers))) for workers in options.workers)
            rows += [_row(f"loader, {what}", workers, speed) for workers, speed in speeds]
        rows.append(_row(f"classifier {tuple(options.widths)}, training steps", None, _training(kept, options)))
    write(options.json, options, rows)


def _folder(options: argparse.Namespace, cache: str | None, workers: int | None = None) -> ImageFolder:
    return ImageFolder(
        options.data, options.size, options.channels, cache=cache, batch_size=options.batch, workers=workers
    )


def _loading(data: ImageFolder) -> float:
    """Return images per second of an epoch of training images, after one that starts the workers."""
    loader = data.train_dataloader()
    for _ in loader:
        pass
    start = time.perf_counter()
    count = sum(len(batch.images) for batch in loader)
    return count / (time.perf_counter() - start)


def _training(data: ImageFolder, options: argparse.Namespace) -> float:
    """Return images per second of the classifier's training steps, images at hand, after two to warm up."""
    model = Classifier(data.shape, data.classes, widths=options.widths).to(options.device).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    batches = [Images(*(field.to(options.device) for field in batch)) for batch in _batches(data, options.steps + 2)]
    count = 0
    for number, batch in enumerate(batches):
        if number == 2:  # noqa: PLR2004 - warm now
            wait(options.device)
            start = time.perf_counter()
        optimiser.zero_grad()
        functional.cross_entropy(model(batch.images), batch.labels).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        count += len(batch.images) if number > 1 else 0
    wait(options.device)
    return count / (time.perf_counter() - start)


def _batches(data: ImageFolder, count: int) -> Iterator[Images]:
    loader = data.train_dataloader()
    return islice((batch for _ in range(count) for batch in loader), count)


def _row(what: str, workers: int | None, speed: float) -> dict[str, Any]:
    """Print a row of the table, and return it."""
    print(f"| {what} | {'-' if workers is None else workers} | {speed:,.0f} |", flush=True)
    return {"what": what, "workers": workers, "images_per_second": speed}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder of images")
    parser.add_argument("--size", type=int, default=32, help="height and width of the decoded images")
    parser.add_argument("--channels", type=int, choices=(1, 3), default=3)
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64, 128], help="of the classifier's blocks")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="numbers of loading processes to try")
    parser.add_argument("--steps", type=int, default=20, help="training steps of the classifier")
    parser.add_argument("--threads", type=int, help="of torch; default: its own choice")
    parser.add_argument("--device", default="cpu", help="of the classifier")
    parser.add_argument("--json", type=Path, help="write the rows there as well")
    return parser.parse_args()


if __name__ == "__main__":
    main()
