"""Bars of progress that become lines where the output is no terminal."""

import time
from typing import Any, Final

from rich.progress import Progress, TaskID

_EVERY: Final = 20.0
"""Seconds between two lines."""


class Lines(Progress):
    """Progress: bars on a terminal; elsewhere a line at most every 20 seconds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._last = time.monotonic()

    def update(self, task_id: TaskID, **kwargs: Any) -> None:
        """Set how far a task is, as `rich.progress.Progress` does."""
        super().update(task_id, **kwargs)
        self._print(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """Advance a task, as `rich.progress.Progress` does."""
        super().advance(task_id, advance)
        self._print(task_id)

    def _print(self, task_id: TaskID) -> None:
        now = time.monotonic()
        if self.console.is_terminal or now < self._last + _EVERY or task_id not in self._tasks:
            return
        self._last = now
        task = self._tasks[task_id]
        self.console.print(f"  {task.description}: {task.percentage:.0f} %", highlight=False, markup=False)
