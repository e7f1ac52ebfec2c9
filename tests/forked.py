"""Processes to be killed, or to work side by side: copies of the one that tests, with everything imported already."""

import multiprocessing
from collections.abc import Callable
from typing import Final

FORK: Final = multiprocessing.get_context("fork")


def forked(command: Callable[..., object], *arguments: object) -> multiprocessing.context.ForkProcess:
    """Return a process that runs a command, started."""
    process = FORK.Process(target=command, args=arguments)
    process.start()
    return process
