"""What is left of commands that are killed: `pipeline`, `fit` and `evaluate.py all` of a tiny run, at random moments.

    python -m benchmarks.soak --times 20

Each command is stopped by SIGKILL, SIGTERM and SIGINT, as often as asked for, and run again; half of the times TMPDIR
is on another file system, if there is /dev/shm. The weights of all models and the rows of all reports must be those of
a run that nobody disturbed; no traceback may be shown, and nothing half-written may stay, but for SIGKILL. Prints a
line per command and signal. If anything was wrong, the exit status is 1 and the folders stay.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import torch
import yaml

ROOT: Final = Path(__file__).parents[1]
STARTED: Final = 0.3
"""Seconds until Python itself has started: a signal before that is not the project's to tell."""
MEMORY: Final = "/dev/shm" if Path("/dev/shm").is_dir() else tempfile.gettempdir()  # noqa: S108
COMMANDS: Final = ("pipeline", "fit", "evaluate")
TIMED: Final = "speed"
"""The protocol whose rows are times."""

NET: Final = {"class_path": "detectors.Classifier", "init_args": {"widths": [4]}}
PIPELINE: Final = {
    "trainer": {"accelerator": "cpu", "enable_progress_bar": False, "max_epochs": 2},
    "data": {"class_path": "data.Digits", "init_args": {"train_limit": 400, "test_limit": 40}},
    "classifier": {"model": NET},
    "saliency": {
        "encoder": {"model": {"class_path": "saliency.Encoder", "init_args": {"width": 4}}},
        "selector": {"model": {"class_path": "saliency.Selector"}},
        "mask": {"model": {"class_path": "saliency.SaliencyModel"}},
    },
    "attacks": {"fgsm": {"class_path": "attacks.FGSM", "init_args": {"epsilon": 0.1}}},
    "detectors": {"id": {"model": {"class_path": "detectors.ID"}}, "spd": {"model": {"class_path": "detectors.SPD"}}},
}
FIT: Final = {
    "model": {**NET, "init_args": {"widths": [4], "shape": [1, 28, 28], "classes": 10}},
    "data": PIPELINE["data"],
    "trainer": {"accelerator": "cpu", "enable_progress_bar": False, "max_epochs": 20},
}
WRONG: Final = ("tracebacks", "leftovers", "fails again", "other numbers")
"""What may be seen and must not be, a column each."""


def main() -> int:
    """Run everything, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="kills of each command by each signal")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=COMMANDS, help="commands; default: all")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a shell it is ignored, also below
    folder, draw = Path(tempfile.mkdtemp(prefix="soak_")), random.Random(options.seed)  # noqa: S311 - no secret
    (folder / "pipeline.yaml").write_text(yaml.safe_dump(PIPELINE))
    (folder / "fit.yaml").write_text(yaml.safe_dump(FIT))
    wrong = 0
    print(f"| command | signal | kills | exit statuses | {' | '.join(WRONG)} |\n|{'---|' * (4 + len(WRONG))}")
    for command in options.only:
        seconds = _undisturbed(command, folder)
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            statuses, seen = Counter[int](), Counter[str]()
            for count in range(options.times):
                process = _started(command, folder, f"{number.name}_{count}", elsewhere=count % 2 == 1)
                time.sleep(draw.uniform(STARTED, seconds))
                process.send_signal(number)
                seen.update(_seen(process, command, folder, f"{number.name}_{count}"))
                statuses[process.returncode] += 1
            counts = ", ".join(f"{status} x{times}" for status, times in sorted(statuses.items()))
            cells = " | ".join(str(seen[name]) for name in WRONG)
            print(f"| {command} | {number.name} | {options.times} | {counts} | {cells} |", flush=True)
            wrong += seen.total() - (seen["leftovers"] if number == signal.SIGKILL else 0)  # nobody can clear up then
    if wrong:
        print(f"\nthe folders are kept: {folder}")
    else:
        shutil.rmtree(folder)
    return int(wrong > 0)


def _undisturbed(command: str, folder: Path) -> float:
    """Run a command, unless it was run, and return how many seconds it took."""
    if command == "evaluate" and not (folder / "pipeline_whole").exists():
        _undisturbed("pipeline", folder)
    start = time.perf_counter()
    process = _started(command, folder, "whole")
    output = process.communicate()[0]
    if process.returncode:
        msg = f"{command} fails without being disturbed: {output}"
        raise RuntimeError(msg)
    return time.perf_counter() - start


def _seen(process: "subprocess.Popen[str]", command: str, folder: Path, name: str) -> list[str]:
    """Wait for a stopped command, run it again to its end, and return what was wrong."""
    stopped, run, whole = process.communicate()[0], folder / f"{command}_{name}", folder / f"{command}_whole"
    seen, output = ["tracebacks"] if "Traceback" in stopped else [], ""
    if command != "fit" or not (run / "model.ckpt").exists():  # else the signal came after its last write
        again = _started(command, folder, name)
        output = again.communicate()[0]
        seen += ["fails again"] if again.returncode else []
    seen += ["leftovers"] if any(run.rglob("*.tmp")) else []
    seen += ["other numbers"] if _numbers(run) != _numbers(whole) else []
    if seen:
        print(f"{run}: {', '.join(seen)}\n{stopped}\n{output}", file=sys.stderr)
    else:
        shutil.rmtree(run)
    return seen


def _started(command: str, folder: Path, name: str, *, elsewhere: bool = False) -> "subprocess.Popen[str]":
    """Start a command, or go on with it, in a folder of its own."""
    run = folder / f"{command}_{name}"
    if command == "evaluate" and not run.exists():
        shutil.copytree(folder / "pipeline_whole", run)
    last = ["--ckpt_path", str(run / "last.ckpt")] if (run / "last.ckpt").exists() else []
    arguments = {
        "pipeline": ["train.py", "pipeline", "--config", str(folder / "pipeline.yaml"), "--run", str(run)],
        "fit": ["train.py", "fit", "--config", str(folder / "fit.yaml"), "--trainer.default_root_dir", str(run), *last],
        "evaluate": ["evaluate.py", "all", "--run", str(run), "--device", "cpu"],
    }[command]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"} | ({"TMPDIR": MEMORY} if elsewhere else {})
    line, pipe = [sys.executable, *arguments], subprocess.PIPE
    return subprocess.Popen(line, cwd=ROOT, env=environment, text=True, stdout=pipe, stderr=subprocess.STDOUT)  # noqa: S603


def _numbers(run: Path) -> dict[str, Any]:
    """Return the weights of all models, and the rows of all reports but those that are times."""
    numbers: dict[str, Any] = {}
    for path in run.rglob("model.ckpt"):
        weights = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
        numbers[str(path.relative_to(run))] = {name: value.tolist() for name, value in weights.items()}
    for path in run.glob("report/*.json"):
        numbers[path.stem] = json.loads(path.read_text())["rows"] if path.stem != TIMED else None
    return numbers


if __name__ == "__main__":
    sys.exit(main())
