"""What the commands of the demo cost: CPU seconds, seconds and memory of each, and of their parts.

    python -m benchmarks.workflow
    python -m benchmarks.workflow --only pipeline transfer --parts
    git worktree add --detach ../before COMMIT; python -m benchmarks.workflow --before ../before

runs `pipeline`, `transfer`, `transfer` again, `threshold`, `white-box` and `all` on a run folder of its own. `--before`
runs each command in another checkout of the project first, on another run folder. Where others use the machine as well,
compare CPU seconds. `--parts` runs each command under a profiler, which slows it down by about a half: the seconds
of parts are the profiler's, and a part within another counts in both.
"""

import argparse
import itertools
import os
import pstats
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.kept import write

ROOT: Final = Path(__file__).parents[1]

COMMANDS: Final = {
    "pipeline": "train.py pipeline --config {config} --run {run}",
    "transfer": "evaluate.py transfer --run {run}",
    "transfer again": "evaluate.py transfer --run {run}",
    "threshold": "evaluate.py threshold --run {run}",
    "white-box": "evaluate.py white-box --run {run} --preset quick",
    "all": "evaluate.py all --run {run}",
}

PARTS: Final = {
    "imports": ("<frozen importlib._bootstrap>", "_find_and_load"),
    "parsers: built": ("lightning/pytorch/cli.py", "setup_parser"),
    "parsers: configs read": ("lightning/pytorch/cli.py", "parse_arguments"),
    "parsers: configs written": ("training/fitting.py", "resolved"),
    "fits: training steps": ("loops/training_epoch_loop.py", "advance"),
    "fits: validation": ("loops/evaluation_loop.py", "run"),
    "fits: scalars logged": ("lightning/pytorch/core/module.py", "log"),
    "fits: checkpoints": ("trainer/trainer.py", "save_checkpoint"),
    "stored sets": ("store/store.py", "complete"),
    "scores": ("detectors/scoring.py", "scores"),
    "explanations": ("detectors/explanations.py", "forward"),
    "scores read and written": ("study/kept_tensors.py", "kept"),
    "bootstrap": ("results/bootstrap.py", "superiority"),
    "charts": ("results/charts.py", "png"),
    "TensorBoard": ("evaluation/tensorboard.py", "write_scores"),
    "digests": ("store/identity.py", "of_module"),
    "digests of code": ("store/identity.py", "of_code"),
}
"""The end of a file's name and a function in it, by what it does."""


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        command: Its name.
        commit: Of the checkout that it ran in; empty if that is not known.
        cpu: CPU seconds, of the program and of the system.
        wall: Seconds on the clock.
        peak_mib: The most memory that it held.
        parts: Seconds of each part, under the profiler; empty without.
    """

    command: str
    commit: str
    cpu: float
    wall: float
    peak_mib: float
    parts: dict[str, float]


def main() -> int:
    """Run the commands, print a line for each, and write them as JSON where asked; return 1 if one failed."""
    options = _options()
    checkouts = [root for root in (options.before, ROOT) if root is not None]
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "profile" if options.parts else None
        costs = []
        print("| command | commit | CPU seconds | seconds | peak MiB |\n|---|---|---|---|---|", flush=True)
        for name, root in itertools.product(options.only, checkouts):
            run = options.run if options.run and root == ROOT else Path(folder) / f"run_{checkouts.index(root)}"
            words = [word.format(config=options.config, run=run) for word in COMMANDS[name].split()]
            cost = _measured(name, root, [*words, *options.more], profile)
            costs.append(cost)
            print(f"| {name} | {cost.commit} | {cost.cpu:.1f} | {cost.wall:.1f} | {cost.peak_mib:.0f} |", flush=True)
    for cost in costs if options.parts else ():
        print(f"\n{cost.command} {cost.commit}, seconds under the profiler:\n\n| part | seconds |\n|---|---|")
        print("\n".join(f"| {part} | {seconds:.1f} |" for part, seconds in cost.parts.items()))
    write(
        options.json, options, list(map(asdict, costs)), threads=os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))
    )
    return 0


_PROFILED: Final = """
import cProfile, runpy, sys
profile, path, sys.argv = cProfile.Profile(), sys.argv[1], sys.argv[2:]
try:
    profile.runcall(runpy.run_path, sys.argv[0], run_name="__main__")
finally:
    profile.dump_stats(path)
"""
"""Runs a command under the profiler and keeps its exit status, which `python -m cProfile` loses."""


def _measured(name: str, root: Path, words: list[str], profile: Path | None) -> Cost:
    """Run a command in a checkout and return what it took.

    Raises:
        RuntimeError: If it failed; with the end of what it printed.
    """
    profiler = [] if profile is None else ["-c", _PROFILED, str(profile)]
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, *profiler, *words], cwd=root, stdout=output, stderr=output)  # noqa: S603
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            msg = f"{name} ended with status {process.returncode}: {output.read()[-1000:]}"
            raise RuntimeError(msg)
    found = {} if profile is None else parts(profile)
    return Cost(name, _commit(root), used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024, found)


def _commit(root: Path) -> str:
    words = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, cwd=root, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603


def parts(profile: Path) -> dict[str, float]:
    """Return the seconds of each part that a profile has, the longest first."""
    stats: dict[tuple[str, int, str], Any] = pstats.Stats(str(profile)).stats  # type: ignore[attr-defined]
    seconds = {
        part: sum(entry[3] for (path, _, name), entry in stats.items() if path.endswith(file) and name == function)
        for part, (file, function) in PARTS.items()
    }
    return dict(sorted(((part, taken) for part, taken in seconds.items() if taken), key=lambda item: -item[1]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("configs/digits.yaml"), help="a pipeline file")
    parser.add_argument("--run", type=Path, help="a run folder to go on with; default: a new one, deleted at the end")
    parser.add_argument("--before", type=Path, help="another checkout: each command is run there as well")
    parser.add_argument("--only", nargs="+", choices=list(COMMANDS), default=list(COMMANDS), help="which commands")
    parser.add_argument("--parts", action="store_true", help="run under a profiler, and print the seconds of parts")
    parser.add_argument("--json", type=Path, help="write the rows there as well")
    parser.add_argument("more", nargs="*", help="after --: options that each command is given as well")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
