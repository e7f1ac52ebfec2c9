"""What a benchmark writes with `--json`: how it was measured, and its rows; docs/speed.py renders it."""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch


def write(path: Path | None, options: argparse.Namespace, rows: Sequence[Any], **more: Any) -> None:
    """Write rows and what else was found, with date, command and options.

    Args:
        path: Where; None: nowhere.
        options: Of the command line.
        rows: Plain values.
        more: Further keys of the file.
    """
    if path is None:
        return
    command = shlex.join(["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}", *sys.argv[1:]])
    about = {"date": time.strftime("%Y-%m-%d"), "command": command, "torch": torch.__version__}
    meta = about | {key: str(value) for key, value in vars(options).items()}
    path.write_text(json.dumps({"meta": meta, "rows": rows, **more}, indent=1) + "\n")
