"""Callbacks for fits in processes of their own, named in their configs; and how such processes are watched."""

import os
import signal
import time
from pathlib import Path

import lightning
import torch


class Keep(lightning.Callback):
    """Writes, at the end of a fit, each rank's weights and images, and whether an attack changed a gradient."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.positions = []
        self.gradients = None
        self.changed = False

    def on_train_batch_start(self, trainer, module, batch, batch_idx):  # noqa: ARG002 - Lightning's
        self.positions.append(batch.positions[: len(batch.positions) // 2])
        if self.gradients is not None:  # the attack came between two steps
            pairs = zip(self.gradients, gradients(module), strict=True)
            self.changed |= any(not torch.equal(before, after) for before, after in pairs)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):  # noqa: ARG002 - Lightning's
        self.gradients = gradients(module)

    def on_validation_end(self, trainer, module):  # noqa: ARG002 - Lightning's
        self.gradients = None

    def on_fit_end(self, trainer, module):
        kept = {"weights": module.state_dict(), "positions": self.positions, "changed": self.changed}
        torch.save(kept, self.folder / f"rank_{trainer.global_rank}.pt")


def gradients(module):
    return [parameter.grad.clone() for parameter in module.parameters() if parameter.grad is not None]


class Kill(lightning.Callback):
    """Kills the process of a rank, as nothing else could, in the middle of the second round."""

    def __init__(self, folder: str, rank: int = 0, step: int = 3) -> None:
        self.folder = Path(folder)
        self.rank = rank
        self.step = step

    def on_fit_start(self, trainer, module):  # noqa: ARG002 - Lightning's
        (self.folder / f"rank_{trainer.global_rank}.pid").write_text(str(os.getpid()))

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):  # noqa: ARG002 - Lightning's
        if (trainer.current_epoch, batch_idx, trainer.global_rank) == (1, self.step, self.rank):
            os.kill(os.getpid(), signal.SIGKILL)


def started(folder: Path, seconds: float) -> list[int]:
    """Wait until two ranks have begun their fit, so many seconds at most, and return their processes."""
    paths = [folder / f"rank_{rank}.pid" for rank in (0, 1)]
    deadline = time.monotonic() + seconds
    while not all(path.exists() and path.read_text() for path in paths) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [int(path.read_text()) for path in paths]


def stop(folder: Path) -> None:
    """Kill the ranks that still run."""
    for path in folder.glob("rank_*.pid"):
        if running(int(path.read_text())):
            os.kill(int(path.read_text()), signal.SIGKILL)


def running(pid: int) -> bool:
    """Tell whether a process still runs; one that only waits to be collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def ends(pid: int, seconds: float) -> bool:
    """Wait until a process has ended, so many seconds at most, and tell whether it has."""
    deadline = time.monotonic() + seconds
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not running(pid)
