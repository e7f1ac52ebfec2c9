"""The first word of a command line, and the help that lists the commands: no command is imported for either."""

import sys
from collections.abc import Mapping

from attacks.errors import unknown
from experiments.errors import UsageError

HELP = ("-h", "--help")


def chosen(script: str, about: str, commands: Mapping[str, str], arguments: list[str]) -> str:
    """Return the command that the first argument names.

    Args:
        script: Name of the script, for its help.
        about: What it does, for its help.
        commands: A line about each command.
        arguments: As on the command line.

    Raises:
        SystemExit: If help was asked for, once it is printed.
        UsageError: If there is no such command.
    """
    first = arguments[0] if arguments else ""
    if first in HELP:
        sys.stdout.write(_help(script, about, commands))
        raise SystemExit(0)
    if first in commands:
        return first
    if not first or first.startswith("-"):
        got = f"{first!r} cannot come first: " * bool(first)
        msg = f"{got}a command is needed: {', '.join(commands)}; see --help"
        raise UsageError(msg)
    raise UsageError(unknown("command", first, commands))


def _help(script: str, about: str, commands: Mapping[str, str]) -> str:
    width = max(map(len, commands))
    listed = "\n".join(f"  {name:<{width}}  {line}" for name, line in commands.items())
    return f"usage: {script} COMMAND [options]\n\n{about}\n\ncommands:\n{listed}\n\nMore: {script} COMMAND --help\n"
