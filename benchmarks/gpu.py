"""What needs a GPU, in at most eight minutes: tests, fits, attacks beside peers, a white-box evaluation.

    python -m benchmarks.gpu --root datasets --json docs/results/speed/gpu.json
    python -m benchmarks.gpu --reduced

The MNIST files lie in the root as torchvision lays them out. Two fits in mixed precision must give the same weights;
for each attack on 1000 images the times that the host waits for the card are counted. Steps that do not disturb one
another run together; times of attacks are taken alone. Prints a line for each step; the JSON has everything.
`--reduced` does the same on the CPU with the bundled digits, a few images and steps. The exit status is 1 if a step
failed.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import torch

import attacks
from benchmarks.kept import write
from benchmarks.subjects import prepare

ROOT: Final = Path(__file__).parents[1]
COMPARED: Final = {"budgets": ("fgsm", "bim", "mim", "pgd"), "minimal-norm": ("deepfool", "cw", "jsma")}
WAITED_FOR: Final = (
    attacks.FGSM(epsilon=0.3),
    attacks.BIM(epsilon=0.3, step_size=0.05, steps=10),
    attacks.PGD(epsilon=0.3, step_size=0.05, steps=10),
    attacks.DeepFool(),
    attacks.WarmCarliniWagnerL2(),
)
"""Attacks whose waits are counted."""

Step = tuple[str, str, float]
"""A name, what Python is given, and the seconds after which it is ended."""


def main() -> int:
    """Run all steps, print a line for each, write the JSON, and return the exit status."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) if options.keep is None else options.keep
        work.mkdir(parents=True, exist_ok=True)
        together, alone, last = _steps(options, work)
        with ThreadPoolExecutor() as pool:
            records = list(pool.map(_done, together))
        records += [_done(step) for step in alone]
        with ThreadPoolExecutor() as pool:
            records += list(pool.map(_done, last))
        same_weights, waits = _same_weights(work / "fit_0", work / "fit_1"), _waits(options, work)
        write(
            options.json,
            options,
            [],
            device=torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
            torch=torch.__version__,
            steps=records,
            same_weights=same_weights,
            waits=waits,
            attacks=[row for name in COMPARED for row in _read(work / f"{name}.json").get("rows", [])],
            white_box=_read(work / "run" / "report" / "white-box.json").get("rows", []),
        )
    print(f"two fits give the same weights: {same_weights}; waits of the host: {waits}")
    return int(any(record["status"] != 0 for record in records) or not same_weights)


def _steps(options: argparse.Namespace, work: Path) -> tuple[list[Step], list[Step], list[Step]]:
    """Return the steps that run together, those that run alone, one after the other, and those that end it together."""
    small, root, kept = options.reduced, shlex.quote(str(options.root)), shlex.quote(str(work))
    name, device, accelerator = ("digits", "cpu", "cpu") if small else ("mnist", "cuda", "gpu")
    data, folder = ("data.Digits", "") if small else ("data.MNIST", f"--data.root {root}")
    limits = f"{folder} --data.train_limit {400 if small else 20000} --data.test_limit {100 if small else 1000}"
    count = 20 if small else 1000
    tests = "-m pytest -m gpu -n 4 -p no:cacheprovider tests/attacks/test_contract.py tests/attacks/test_guard.py"
    fit = (
        f"train.py fit --model detectors.Classifier --model.shape '[1, 28, 28]' --model.classes 10 --data {data} "
        f"{limits} "
        f"--trainer.max_epochs 1 --trainer.accelerator {accelerator} --trainer.precision bf16-mixed "
        f"--trainer.logger false --trainer.default_root_dir {kept}/fit_"
    )
    pipeline = (
        f"train.py pipeline --config configs/{name}.yaml --run {kept}/run --seeds '[0]' --train_on '[fgsm]' "
        f"--retrain null {limits} --trainer.accelerator {accelerator} --trainer.max_epochs {1 if small else 2}"
    )
    compare = (
        f"-m benchmarks.attacks --subject {name} --device {device} --root {root} --kept {kept} --images {count} "
        f"--batch {count} --rounds {1 if small else 2} --limit 5"
    )
    white_box = (
        f"evaluate.py white-box --run {kept}/run --device {device} --images {8 if small else 200} "
        f"--steps {4 if small else 100} --curve_images 0 --detectors {'[spd]' if small else '[spd,max_softmax]'}"
    )
    together = [("fit 0", f"{fit}0", 100.0), ("fit 1", f"{fit}1", 100.0), ("pipeline", pipeline, 200.0)]
    compared = {"budgets": ("fgsm", "bim")} if small else COMPARED
    return (
        together if small else [("gpu tests", tests, 150.0), *together],
        [
            (f"{part} beside peers", f"{compare} --json {kept}/{shlex.quote(part)}.json --only {' '.join(names)}", 80.0)
            for part, names in compared.items()
        ],
        [
            ("transfer", f"evaluate.py transfer --run {kept}/run --device {device}", 120.0),
            ("white-box", white_box, 200.0),
        ],
    )


def _done(step: Step) -> dict[str, Any]:
    """Run a step; return its name, command, exit status, seconds, and the end of what it printed."""
    name, command, limit = step
    start = time.perf_counter()
    try:
        words = [sys.executable, *shlex.split(command)]
        ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=limit, check=False)  # noqa: S603
        status, output = ended.returncode, ended.stdout + ended.stderr
    except subprocess.TimeoutExpired as error:
        status, output = -1, f"{(error.stdout or b'').decode()}\nended after {limit:.0f} s"
    seconds = time.perf_counter() - start
    print(f"{name}: exit status {status}, {seconds:.0f} s", flush=True)
    if status != 0:
        print(output[-1500:], flush=True)
    return {"step": name, "command": command, "status": status, "seconds": seconds, "output": output[-4000:]}


def _same_weights(first: Path, second: Path) -> bool:
    """Return whether two fits left the same weights."""
    files = [next(iter(sorted(folder.rglob("*.ckpt"))), None) for folder in (first, second)]
    if None in files:
        return False
    one, two = (torch.load(file, map_location="cpu", weights_only=False)["state_dict"] for file in files if file)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def _waits(options: argparse.Namespace, work: Path) -> dict[str, int]:
    """Return how often the host waits for the card in each attack; nothing without a card."""
    if options.reduced:
        return {}
    model, images, labels = prepare("mnist", options.root, work, 1000)
    model, images, labels = model.cuda(), images.cuda(), labels.cuda()
    counts = {}
    for attack in WAITED_FOR:
        attack(model, images, labels)
        torch.cuda.set_sync_debug_mode("warn")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            attack(model, images, labels)
        torch.cuda.set_sync_debug_mode("default")
        counts[type(attack).__name__] = sum("synchroniz" in str(warning.message) for warning in caught)
    return counts


def _read(path: Path) -> Mapping[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("datasets"), help="where MNIST lies")
    parser.add_argument("--json", type=Path, help="where to write everything")
    parser.add_argument("--keep", type=Path, help="folder for the run and the networks; default: a temporary one")
    parser.add_argument("--reduced", action="store_true", help="on the CPU, with digits")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
