"""Attacks against those of other libraries: same network, same images, same settings, one run.

    python -m benchmarks.attacks --subject mnist --root datasets
    python -m benchmarks.attacks --subject digits --only bim deepfool --threads 1

The contenders run in turn, several times. The table gives the median of images per second, the first row's over it, the
share of images fooled, mean norms of the perturbations that fooled, and the passes that an image cost.
How to install the peers: CONTRIBUTING.md. One that is missing is left out, and named.
"""

import argparse
import json
import statistics
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from attacks import norms
from attacks.problem import Counted, Passes
from benchmarks.contenders import TARGETED, Contenders, comparisons, front
from benchmarks.peers import Contender
from benchmarks.subjects import SUBJECTS, predicted, prepare


@dataclass(frozen=True)
class Row:
    """What one contender did; norms over the images that it fooled."""

    comparison: str
    contender: str
    images: int
    images_per_second: float
    success: float
    l2: float
    l2_quantiles: list[float]  # at .1, .5, .9
    l0: float
    forward: float
    backward: float


def main() -> None:
    """Measure, print the table, and write it as JSON where asked."""
    options = _options()
    torch.set_num_threads(options.threads)
    subject = SUBJECTS[options.subject]
    model, images, labels = prepare(options.subject, options.root, options.kept, options.images, skip=options.skip)
    model, images, labels = model.to(options.device), images.to(options.device), labels.to(options.device)
    known = comparisons(subject, options.batch) | front()
    rows = []
    for name in options.only or [name for name in known if name not in {"front", "cw-1000"}]:
        goals = (labels + 1) % subject.classes if name in TARGETED else None
        for row in _measured(name, known[name], model, images, labels, goals, options):
            rows.append(row)
            _print(row, rows)
    if options.json:
        meta = {key: str(value) for key, value in vars(options).items()} | {"torch": torch.__version__}
        options.json.write_text(json.dumps({"meta": meta, "rows": [asdict(row) for row in rows]}, indent=1))


def _measured(
    comparison: str,
    contenders: Contenders,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    goals: Tensor | None,
    options: argparse.Namespace,
) -> list[Row]:
    """Run the contenders in turn, `options.rounds` times and once before to warm up, and return a row for each."""
    wanted = {
        name: run
        for name, run in contenders.items()
        if run is not None and (not options.libraries or name.split(",")[0] in options.libraries)
    }
    seconds: dict[str, list[float]] = {name: [] for name in wanted}
    rows: dict[str, Row] = {}
    for _ in range(options.rounds + (options.rounds > 1)):
        for name, run in wanted.items():
            passes = Passes(images)
            _wait(options.device)
            start = time.perf_counter()
            adversarial = _attacked(run, model, images, labels, passes, options.batch)
            _wait(options.device)
            seconds[name].append(time.perf_counter() - start)
            rows[name] = _row(comparison, name, model, images, adversarial, labels, goals, passes)
    return [
        replace(rows[name], images_per_second=len(images) / statistics.median(times[-options.rounds :]))
        for name, times in seconds.items()
    ]


def _attacked(run: Contender, model: nn.Module, images: Tensor, labels: Tensor, passes: Passes, batch: int) -> Tensor:
    counted = Counted(model, passes).eval()
    parts = [slice(start, start + batch) for start in range(0, len(images), batch)]
    return torch.cat([run(counted.select(rows), images[rows], labels[rows]) for rows in parts])


def _row(
    comparison: str,
    contender: str,
    model: nn.Module,
    images: Tensor,
    adversarial: Tensor,
    labels: Tensor,
    goals: Tensor | None,
    passes: Passes,
) -> Row:
    classes = predicted(model, adversarial)
    fooled = classes != labels if goals is None else classes == goals
    change = (adversarial - images)[fooled]
    lengths = norms.l2(change) if len(change) else torch.full((1,), torch.nan)
    quantiles = torch.tensor([0.1, 0.5, 0.9], device=lengths.device)
    return Row(
        comparison=comparison,
        contender=contender,
        images=len(images),
        images_per_second=0.0,
        success=fooled.float().mean().item(),
        l2=lengths.mean().item(),
        l2_quantiles=lengths.quantile(quantiles).tolist(),
        l0=norms.l0(change).mean().item(),
        forward=passes.forward.mean().item(),
        backward=passes.backward.mean().item(),
    )


def _print(row: Row, rows: list[Row]) -> None:
    first = next(other for other in rows if other.comparison == row.comparison)
    if row is first:
        print(f"\n{row.comparison}, {row.images} images")
        print("| contender | images/s | ours is | success | L2 | 10 / 50 / 90 % | L0 | forward | backward |")
        print("|---|---|---|---|---|---|---|---|---|")
    quantiles = " / ".join(f"{value:.3f}" for value in row.l2_quantiles)
    print(
        f"| {row.contender} | {row.images_per_second:.3g} | {first.images_per_second / row.images_per_second:.2f}x "
        f"| {row.success:.3f} | {row.l2:.4f} | {quantiles} | {row.l0:.1f} | {row.forward:.1f} | {row.backward:.1f} |",
        flush=True,
    )


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", choices=list(SUBJECTS), default="digits", help="digits needs no files")
    parser.add_argument("--root", type=Path, default=Path("datasets"), help="where the other data sets lie")
    parser.add_argument("--kept", type=Path, default=Path("runs/benchmarks"), help="where trained networks are kept")
    known = ["fgsm", "bim", "mim", "pgd", "deepfool", "cw", "cw-1000", "jsma", "front"]
    parser.add_argument("--only", nargs="+", choices=known, help="default: all but cw-1000 and front")
    parser.add_argument(
        "--libraries", nargs="+", help="ours advertorch torchattacks foolbox art; default: all there are"
    )
    parser.add_argument("--images", type=int, default=100, help="how many test images")
    parser.add_argument("--skip", type=int, default=0, help="test images to leave out first")
    parser.add_argument("--batch", type=int, default=100, help="images passed at once")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="1: no warming up either")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write the rows there as well")
    return parser.parse_args()


if __name__ == "__main__":
    main()
