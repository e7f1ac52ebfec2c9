"""Try the project in throw-away environments: the oldest versions that it allows, the locked ones, the newest.

`make versions` runs the smoke test in all whose Python is found; `python -m tests.versions locked-3.12` in one. A line
says what each environment held and how the smoke test ended; the exit status is 1 if one failed.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

UV = [sys.executable, "-m", "uv"]
KINDS = {
    "oldest": ["--resolution", "lowest-direct"],
    "locked": ["--constraints", "constraints.txt"],
    "newest": ["--upgrade"],
}
ENVIRONMENTS = ("oldest-3.11", "locked-3.11", "locked-3.12", "locked-3.13", "newest-3.11", "newest-3.13")
SHOWN = ("torch", "torchvision", "lightning", "jsonargparse", "numpy")


def attempt(name: str, folder: Path) -> bool | None:
    """Make an environment, run the smoke test in it, and say how it ended.

    Args:
        name: A kind and a version of Python, as locked-3.12.
        folder: Where the environment is made.

    Returns:
        Whether the smoke test passed; None if there is no such Python.
    """
    kind, _, python = name.partition("-")
    found = _run([*UV, "python", "find", "--no-python-downloads", "--system", python])
    if found.returncode:
        sys.stdout.write(f"{name}: no Python {python} is found\n")
        return None
    start = time.perf_counter()
    inside = str(folder / "bin" / "python")
    steps = {
        "make": [*UV, "venv", "--python", found.stdout.strip(), str(folder)],
        "install": [*UV, "pip", "install", "--python", inside, *KINDS[kind], "-r", "pyproject.toml", "--extra", "dev"],
        "smoke test": [inside, "-m", "tests.smoke"],
    }
    for step, command in steps.items():
        done = _run(command)
        if done.returncode:
            sys.stdout.write(f"{done.stdout}{name}: {step} failed\n")
            return False
    sys.stdout.write(f"{name}: passed in {time.perf_counter() - start:.0f} s with {_held(inside)}\n")
    return True


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, check=False, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # noqa: S603


def _held(python: str) -> str:
    frozen = _run([*UV, "pip", "freeze", "--python", python]).stdout.splitlines()
    return ", ".join(line.replace("==", " ") for line in frozen if line.partition("==")[0] in SHOWN)


def main() -> int:
    """Try the environments that the command line names, or all; return the exit status."""
    names = sys.argv[1:] or ENVIRONMENTS
    unknown = sorted(set(names) - set(ENVIRONMENTS))
    if unknown:
        sys.stderr.write(f"error: {', '.join(unknown)} must be among {', '.join(ENVIRONMENTS)}\n")
        return 2
    passed = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            passed.append(attempt(name, Path(folder) / name))
        sys.stdout.flush()
    return int(False in passed or True not in passed)


if __name__ == "__main__":
    sys.exit(main())
