"""Evaluate the detectors of a run folder, one subcommand per protocol; use one detector on files."""

import sys
from typing import Final

from experiments.evaluation.protocols import COMMANDS, LIST
from experiments.guard.commands import COMMANDS as OF_A_DETECTOR
from experiments.guard.commands import run_command
from experiments.process import chosen, guarded

_ABOUT: Final = (
    "Evaluate the detectors of a run folder; each command writes RUN/report/COMMAND.{json,csv,md,png}.\n"
    f"Of one detector, by its checkpoint: {', '.join(OF_A_DETECTOR)}."
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 1 wrong input, 2 wrong usage.

    Args:
        arguments: As on the command line; None: the process' own.
    """
    return guarded(_evaluate, arguments)


def _evaluate(arguments: list[str]) -> None:
    """Import the command, which takes seconds, and run it."""
    name = chosen("evaluate.py", _ABOUT, {**COMMANDS, **OF_A_DETECTOR}, arguments)
    if name in OF_A_DETECTOR:
        run_command(name, arguments[1:])
        return
    if name == LIST:
        from experiments.evaluation.listing import run_list  # noqa: PLC0415

        run_list(arguments[1:])
        return
    from experiments.evaluation.command import run_evaluation  # noqa: PLC0415

    run_evaluation(arguments)


if __name__ == "__main__":
    sys.exit(main())
