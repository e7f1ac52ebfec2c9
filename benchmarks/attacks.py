"""Attacks against those of other libraries: same network, same images, same settings, one run.

    python -m benchmarks.attacks --subject mnist --root datasets
    python -m benchmarks.attacks --subject digits --only bim deepfool --threads 1
    python -m benchmarks.attacks --subject mnist --only cw --images 32 --at-most art=4 --limit 600
    python -m benchmarks.attacks --subject photographs --root FOLDER --only deepfool cw localized --images 8 --batch 8

The contenders run in turn, several times. The table gives the median of images per second and of the seconds that a
batch takes; the median of the rounds' ratios of ours to it, the lowest and the highest (`front`: of the fastest of ours
that fools as many images at no larger mean L2, as settings differ there); the share of images fooled,
mean norms of the perturbations that fooled, the passes that an image cost, and the most memory that a run held above
what the process held before it (for that of one library in a process of its own, give it alone to --libraries).
How to install the peers: CONTRIBUTING.md. One that is missing, fails or does not end is left out, and named.
"""

import argparse
import math
import statistics
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.contenders import TARGETED, Contenders, comparisons, front
from benchmarks.kept import write
from benchmarks.measuring import CLOCKS, Row, Task
from benchmarks.peers import Contender
from benchmarks.subjects import SUBJECTS, prepare

_COLUMNS = "contender, images/s, s a batch, ours is, success, L2, 10 / 50 / 90 %, L0, forward, backward, peak MiB"

_ASKED_FOR = ("cw-1000", "localized", "rounding", "front")
"""Comparisons that are made only where `--only` names them."""


def main() -> None:
    """Measure, print the tables, and write them as JSON where asked."""
    options = _options()
    torch.set_num_threads(options.threads)
    subject = SUBJECTS[options.subject]
    model, images, labels = prepare(options.subject, options.root, options.kept, options.images, skip=options.skip)
    model, images, labels = model.to(options.device), images.to(options.device), labels.to(options.device)
    model.requires_grad_(requires_grad=False)  # libraries that call backward() would pay for gradients of weights
    known = comparisons(subject, options.batch) | front()
    rows, left_out = [], []
    for name in options.only or [name for name in known if name not in _ASKED_FOR]:
        goals = (labels + 1) % subject.classes if name in TARGETED else labels
        task = Task(name, model, images, labels, goals, options.batch, options.rounds, options.limit, options.clock)
        for count, contenders in _parts(known[name], len(images), options):
            table, failed = task.first(count).measured(contenders)
            _print(name, table, failed, count, options.batch)
            rows += [
                asdict(row) | {"images_per_second": row.images_per_second, "ratio": _ratio(row, table)} for row in table
            ]
            left_out += [{"comparison": name, "contender": who, "reason": why} for who, why in failed.items()]
    write(options.json, options, rows, left_out=left_out)


def _parts(
    contenders: Contenders, images: int, options: argparse.Namespace
) -> Iterator[tuple[int, dict[str, Contender]]]:
    """Return numbers of images with their contenders: all, then fewer, where ours stand beside who takes so few."""
    fewer = dict(options.at_most)
    wanted = {
        name: run
        for name, run in contenders.items()
        if run is not None and (not options.libraries or _library(name) in options.libraries)
    }
    counts = {name: min(images, fewer.get(_library(name), images)) for name in wanted}
    for count in sorted(set(counts.values()), reverse=True):
        yield count, {name: run for name, run in wanted.items() if counts[name] == count or _library(name) == "ours"}


def _library(contender: str) -> str:
    return contender.partition(",")[0]


def _print(comparison: str, rows: list[Row], failed: dict[str, str], images: int, batch: int) -> None:
    print(f"\n{comparison}, {images} images, {min(images, batch)} at once")
    columns = _COLUMNS.split(", ")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        seconds = statistics.median(row.seconds) / math.ceil(images / batch)
        speed = f"{row.images_per_second:.3g} | {seconds:.3g} | {_words(_ratio(row, rows))}"
        lengths = f"{row.l2:.4f} | {' / '.join(f'{value:.3f}' for value in row.l2_quantiles)} | {row.l0:.1f}"
        cost = f"{row.forward:.1f} | {row.backward:.1f} | {row.peak_mib:.0f}"
        print(f"| {row.contender} | {speed} | {row.success:.3f} | {lengths} | {cost} |")
    for contender, reason in failed.items():
        print(f"left out: {contender} ({reason})")
    print(end="", flush=True)


def _ratio(row: Row, rows: list[Row]) -> list[float] | None:
    """Return how many times as fast ours is: the median of several rounds, lowest and highest; None without ours."""
    ours = [own for own in rows if _library(own.contender) == "ours"]
    if row.comparison == "front":  # settings differ: the fastest that fools as many, at no larger length
        equal = [own for own in ours if own.success >= row.success and own.l2 <= row.l2]
        ours = sorted(equal, key=lambda own: -own.images_per_second)
    if not ours:
        return None
    ratios = [theirs / own for theirs, own in zip(row.seconds, ours[0].seconds, strict=True)]
    ends = [min(ratios), max(ratios)] if len(ratios) > 1 and row is not ours[0] else []
    return [statistics.median(ratios), *ends]


def _words(ratio: list[float] | None) -> str:
    if ratio is None:
        return "-"
    median, *ends = ratio
    return f"{median:.2f}x" + (f" ({ends[0]:.2f} to {ends[1]:.2f})" if ends else "")


def _share(text: str) -> tuple[str, int]:
    library, _, count = text.partition("=")
    if not count.isdecimal() or int(count) < 1:
        msg = f"{text!r} is not a library and a number of images, such as art=4"
        raise argparse.ArgumentTypeError(msg)
    return library, int(count)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", choices=list(SUBJECTS), default="digits", help="digits needs no files")
    parser.add_argument(
        "--root", type=Path, default=Path("datasets"), help="where the other data sets lie; photographs in ROOT/photos"
    )
    parser.add_argument("--kept", type=Path, default=Path("runs/benchmarks"), help="where trained networks are kept")
    known = ["fgsm", "bim", "mim", "pgd", "deepfool", "cw", "jsma", *_ASKED_FOR]
    parser.add_argument("--only", nargs="+", choices=known, help=f"default: all but {', '.join(_ASKED_FOR)}")
    parser.add_argument(
        "--libraries", nargs="+", help="ours advertorch torchattacks foolbox art; default: all there are"
    )
    parser.add_argument("--images", type=int, default=100, help="how many test images")
    parser.add_argument(
        "--at-most",
        nargs="+",
        type=_share,
        default=[],
        metavar="LIBRARY=N",
        help="fewer images for a slow library: a second table gives it beside ours on the first N images",
    )
    parser.add_argument("--skip", type=int, default=0, help="test images to leave out first")
    parser.add_argument("--batch", type=int, default=100, help="images passed at once")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="1: no warming up either")
    parser.add_argument(
        "--clock",
        choices=list(CLOCKS),
        default="wall",
        help="cpu: what the process used, all threads together; the steadier one with one thread on a busy machine",
    )
    parser.add_argument("--limit", type=float, default=math.inf, help="seconds after which a contender is left out")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write the rows there as well")
    return parser.parse_args()


if __name__ == "__main__":
    main()
