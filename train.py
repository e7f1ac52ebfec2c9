"""Train one model (fit, validate, test, predict), run a whole experiment (pipeline), or look after its store."""

import sys

from experiments.process import guarded

COMMANDS = ("fit", "validate", "test", "predict", "pipeline", "store")


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 1 wrong input, 2 wrong usage.

    Args:
        arguments: As on the command line; None: the process' own.
    """
    return guarded(_dispatch, arguments)


def _dispatch(arguments: list[str]) -> None:
    """Import the command, which takes seconds, and run it."""
    command = arguments[0] if arguments else None
    if command not in COMMANDS and not (command or "").startswith("-"):
        from attacks.errors import unknown  # noqa: PLC0415
        from experiments.errors import UsageError  # noqa: PLC0415

        known = f"a command is needed: {', '.join(COMMANDS)}; see --help"
        raise UsageError(unknown("command", command, COMMANDS) if command else known)
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
