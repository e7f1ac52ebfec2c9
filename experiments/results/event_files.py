"""Folders of TensorBoard's event files that are replaced as a whole, and text for its text page."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


@contextmanager
def replacing_events(folder: Path) -> Iterator[Callable[[str], "SummaryWriter"]]:
    """Give a function that returns the writer of a sub-folder, "" for the folder itself: each is a run of TensorBoard.

    What was in the folder before is replaced once everything is written.
    """
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415

    temporary = folder.parent.with_name(f".{folder.parent.name}.{os.getpid()}.tmp")
    writers: dict[str, SummaryWriter] = {}
    with ExitStack() as opened:
        opened.callback(shutil.rmtree, temporary, ignore_errors=True)

        def writer(name: str = "") -> "SummaryWriter":
            if name not in writers:
                writers[name] = opened.enter_context(SummaryWriter(str(temporary / name)))
            return writers[name]

        yield writer
        for events in writers.values():
            events.close()
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(folder)


def code(text: str) -> str:
    """Return text that TensorBoard shows unchanged, with its line breaks."""
    return f"```\n{text.rstrip()}\n```"
