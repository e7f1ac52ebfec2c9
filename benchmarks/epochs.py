"""What an epoch of each detector costs: from the store, on the fly, and on clean pairs that lie in memory.

    python -m benchmarks.epochs
    python -m benchmarks.epochs --data MNIST --root datasets --limit 5000

The classifier and the saliency model are untrained: that changes no time but DeepFool's and C&W's. The table gives the
median of the epochs after the first, alternating between the three; clean pairs are the floor: the same network on
tensors of the same size, which nothing had to be done for.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader, Dataset

import data as data_modules
from attacks import BIM
from benchmarks.kept import write
from data import AdversarialData, ImageData, Pairs
from data.batches import ImageSet, as_it_is
from data.pairs import paired
from detectors import ID, JSD, SMD, SPD, Classifier, Detector
from saliency import Encoder, SaliencyModel, Selector


class CleanPairs(Dataset[Pairs]):
    """Each image twice, with an explanation that was computed before."""

    def __init__(self, images: ImageSet, channels: int) -> None:
        self.images = images
        self.explanation = torch.rand(len(images), channels, *images[0].images.shape[2:])

    def __len__(self) -> int:
        return len(self.images)

    def __getitems__(self, rows: list[int]) -> Pairs:
        batch = self.images.__getitems__(rows)
        return paired(batch, batch.images, batch.labels, batch.labels, self.explanation[rows].repeat(2, 1, 1, 1))


class Epochs(lightning.Callback):
    """Takes the time of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, *_: Any) -> None:
        """Start the clock."""
        self.start = time.perf_counter()

    def on_train_epoch_end(self, *_: Any) -> None:
        """Keep the seconds."""
        self.seconds.append(time.perf_counter() - self.start)


def main() -> None:
    """Measure and print the table."""
    options = _options()
    torch.set_num_threads(options.threads)
    images: ImageData = getattr(data_modules, options.data)(
        root=options.root, batch_size=options.batch, train_limit=options.limit
    )
    images.prepare_data()
    images.train_split = "detector_train"
    images.setup()
    classifier = Classifier(images.shape, images.classes, widths=options.widths).eval()
    saliency = SaliencyModel(Selector(Encoder(images.shape, images.classes, width=16)), classifier).eval()
    pairs = len(images.split("detector_train"))
    print(f"{options.data}: {pairs} pairs an epoch, in batches of {options.batch}, BIM")
    print("| detector | clean pairs, s | from the store, s | over clean pairs | on the fly, s | over clean pairs |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        parts = _detectors(classifier, saliency)
        rows = [_row(name, detector, images, folder, options.epochs) for name, detector in parts]
    write(options.json, options, rows, pairs=pairs)


def _detectors(classifier: Classifier, saliency: SaliencyModel) -> Iterator[tuple[str, tuple[Detector, int]]]:
    channels = classifier.shape[0]
    yield "ID", (ID(classifier), 0)
    yield "JSD", (JSD(classifier), channels)
    yield "SMD", (SMD(classifier, saliency), 1)
    yield "SPD", (SPD(classifier, saliency), 1)


def _row(name: str, detector: tuple[Detector, int], images: ImageData, folder: str, epochs: int) -> dict[str, Any]:
    """Print a row of the table, and return it."""
    module, channels = detector
    clean = CleanPairs(images.split("detector_train"), channels)
    ways: dict[str, Any] = {
        "clean": DataLoader(clean, images.batch_size, shuffle=True, collate_fn=as_it_is),
        "store": AdversarialData(images, module.classifier, _ATTACK, store=folder),
        "fly": AdversarialData(images, module.classifier, _ATTACK),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(2):
        for way, source in ways.items():
            seconds[way] += _epochs(module, source, epochs if way != "fly" else 2)
    clean_s, store_s, fly_s = (statistics.median(seconds[way]) for way in ways)
    print(
        f"| {name} | {clean_s:.2f} | {store_s:.2f} | {store_s / clean_s:.2f}x | {fly_s:.2f} | {fly_s / clean_s:.2f}x |",
        flush=True,
    )
    return {"detector": name, "clean": clean_s, "store": store_s, "fly": fly_s}


_ATTACK = BIM(epsilon=0.1, step_size=0.02, steps=10)


def _epochs(module: Detector, source: Any, epochs: int) -> list[float]:
    """Return the seconds of all epochs but the first."""
    timer = Epochs()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        callbacks=[timer],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    if isinstance(source, lightning.LightningDataModule):
        trainer.fit(module, datamodule=source)
    else:
        trainer.fit(module, source)
    return timer.seconds[1:]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="Digits", help="a class of data/")
    parser.add_argument("--root", default="datasets", help="where the data set lies")
    parser.add_argument("--limit", type=int, help="use only so many training images")
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64], help="of the classifier and the detectors")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the rows there as well")
    return parser.parse_args()


if __name__ == "__main__":
    main()
