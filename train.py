"""Train one model (fit, validate, test, predict), run a whole experiment (pipeline), or look after its store."""

import sys
from typing import Final

from experiments.process import HELP, chosen, guarded

COMMANDS: Final = {
    "fit": "train one model",
    "validate": "measure one model on the validation images",
    "test": "measure one model on the test images",
    "predict": "write what one model says of the test images",
    "pipeline": "train every model of an experiment that is missing",
    "store": "list a run's adversarial sets, and delete some",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 1 wrong input, 2 wrong usage.

    Args:
        arguments: As on the command line; None: the process' own.
    """
    return guarded(_dispatch, arguments)


def _dispatch(arguments: list[str]) -> None:
    """Import the command, which takes seconds, and run it."""
    options_first = arguments[:1] != [] and arguments[0].startswith("-") and arguments[0] not in HELP
    command = "" if options_first else chosen("train.py", str(__doc__), COMMANDS, arguments)
    if command == "pipeline":
        from experiments.training.pipeline import run_pipeline  # noqa: PLC0415

        run_pipeline(arguments[1:])
    elif command == "store":
        from experiments.training.store import run_store  # noqa: PLC0415

        run_store(arguments[1:])
    else:
        from experiments.training.fitting import ModelCLI  # noqa: PLC0415

        ModelCLI(arguments)


if __name__ == "__main__":
    sys.exit(main())
