"""Photograph TensorBoard's pages of a run for docs/tensorboard.md: `python -m docs.screenshots --run runs/digits`.

It needs a Chromium, by the name that `--browser` gives.
"""

import argparse
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "tensorboard"

PAGES: Final = {"hparams": "#hparams", "scalars": "#scalars&regexInput=detectors&tagFilter=auroc"}
"""What is photographed, by the picture's name: the page's address within TensorBoard."""

_PORT: Final = 6016
_PATIENCE: Final = 120
"""Seconds that TensorBoard has to start, and a page to be drawn."""

_SETTLING: Final = 15


@contextmanager
def served(run: Path) -> Iterator[str]:
    """Serve a run by TensorBoard while the block runs; give its address once it answers."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(run), "--port", str(_PORT)]
    server = subprocess.Popen([*command, "--load_fast=false"])  # noqa: S603
    address = f"http://127.0.0.1:{_PORT}/"
    try:
        _wait_for(address + "data/runs")
        yield address
    finally:
        server.terminate()
        server.wait()


def _wait_for(address: str) -> None:
    """Wait until TensorBoard lists runs, and a while longer: it reads their values after their names.

    Raises:
        TimeoutError: If it does not within `_PATIENCE` seconds.
    """
    for _ in range(_PATIENCE):
        time.sleep(1)
        try:
            with urllib.request.urlopen(address) as answer:  # noqa: S310 - this machine's
                if answer.read().strip() != b"[]":
                    time.sleep(_SETTLING)
                    return
        except urllib.error.URLError:
            continue
    msg = f"TensorBoard shows no run at {address} after {_PATIENCE} s: does the folder hold one?"
    raise TimeoutError(msg)


def photograph(browser: str, address: str, picture: Path) -> None:
    """Write what a headless Chromium shows of an address as a PNG."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=60000"]
    command = [browser, *options, "--window-size=1280,800", f"--screenshot={picture}", address]
    subprocess.run(command, check=True, timeout=_PATIENCE)  # noqa: S603


def main() -> None:
    """Photograph every page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="an evaluated run")
    parser.add_argument("--browser", default="chromium", help="name or path of a Chromium")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    with served(options.run) as address:
        for name, page in PAGES.items():
            photograph(options.browser, address + page, FOLDER / f"{name}.png")


if __name__ == "__main__":
    main()
