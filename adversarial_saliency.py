"""The command `adversarial-saliency`; importing this module makes the project's packages importable by their names.

A wheel keeps `attacks`, `data`, `detectors`, `experiments` and `saliency` in a folder of its own, because other
distributions use some of these names too. In a clone they lie beside this file.
"""

import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parent
"""Where the packages and `configs` lie."""

if str(FOLDER) not in sys.path:
    sys.path.insert(0, str(FOLDER))

_USAGE: Final = "usage: adversarial-saliency {train,evaluate} ...; each of the two has --help"
_WRONG_USAGE: Final = 2


def main(arguments: list[str] | None = None) -> int:
    """Run `train` or `evaluate` as train.py and evaluate.py do; return the exit status, see there.

    Files of `configs/` that are not in the working folder are read from the installed ones.

    Args:
        arguments: As on the command line; None: the process' own.
    """
    command, *others = sys.argv[1:] or [""] if arguments is None else arguments or [""]
    if command in {"-h", "--help"}:
        sys.stdout.write(f"{_USAGE}\n")
        return 0
    if command == "train":
        from train import main as run  # noqa: PLC0415 - needs the path above
    elif command == "evaluate":
        from evaluate import main as run  # noqa: PLC0415
    else:
        sys.stderr.write(f"{_USAGE}; got {command!r}\n")
        return _WRONG_USAGE
    return run([_bundled(word) for word in others])


def _bundled(word: str) -> str:
    """Return the path of an installed config for a relative path into `configs`, unless such a file is here."""
    if word.startswith("configs/") and not Path(word).exists() and (FOLDER / word).is_file():
        return str(FOLDER / word)
    return word
