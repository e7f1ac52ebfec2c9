"""Evaluate the detectors of a run folder: one subcommand per protocol."""

import sys
from typing import Final

from experiments.evaluation.protocols import COMMANDS
from experiments.process import chosen, guarded

_ABOUT: Final = "Evaluate the detectors of a run folder; each command writes RUN/report/COMMAND.{json,csv,md,png}."


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 1 wrong input, 2 wrong usage.

    Args:
        arguments: As on the command line; None: the process' own.
    """
    return guarded(_evaluate, arguments)


def _evaluate(arguments: list[str]) -> None:
    """Import the command, which takes seconds, and run it."""
    chosen("evaluate.py", _ABOUT, COMMANDS, arguments)
    from experiments.evaluation.command import run_evaluation  # noqa: PLC0415

    run_evaluation(arguments)


if __name__ == "__main__":
    sys.exit(main())
