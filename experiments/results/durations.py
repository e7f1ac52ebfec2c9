"""How long the parts of a long command took, kept in a file, and the time left by it."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Final

from attacks.errors import InputError
from saliency.files import read_yaml, write_text

FILE: Final = "durations.yaml"
"""Name of the file, in the folder of the command's output."""

_MINUTE: Final = 60
_HOUR: Final = 3600


class Durations:
    """Seconds by name of a part, in a file.

    Args:
        folder: Where the file is, or will be.
        kind: Returns the kind of a part by its name: parts of a kind take about as long.
        demo: Seconds of parts on the demo's digits, which `left` names where it knows no others.
    """

    def __init__(self, folder: Path, kind: Callable[[str], str] = str, demo: Mapping[str, float] | None = None) -> None:
        self.path = folder / FILE
        self.kind = kind
        self.demo = demo or {}
        self.seconds = _read(self.path)

    def add(self, name: str, seconds: float) -> None:
        """Keep how long a part took."""
        self.seconds[name] = round(seconds, 2)
        write_text(self.path, "".join(f"{key}: {value}\n" for key, value in self.seconds.items()))

    def left(self, names: Iterable[str], at_a_time: int = 1) -> str:
        """Say how long parts, one at least, will take, as far as parts of their kinds were timed before.

        Args:
            names: Those of the parts.
            at_a_time: How many of them run side by side; as some wait for others, the time is the least.
        """
        names = list(names)
        kinds: dict[str, list[float]] = {}
        for name, seconds in self.seconds.items():
            kinds.setdefault(self.kind(name), []).append(seconds)
        parts = [kinds.get(self.kind(name)) for name in names]
        means = [fmean(part) for part in parts if part]
        unknown = len(parts) - len(means)
        demo = sum(self.demo.get(name, 0.0) for name in names)
        there = f"; on the demo's digits it takes about {in_words(demo)}" if demo else ""
        seconds = max([sum(means) / at_a_time, *means])
        if not means:
            return f"time left: unknown, nothing like it was timed here yet{there}"
        if unknown:
            least = f"time left: at least {in_words(seconds)}, {unknown} of {len(parts)}"
            return f"{least} are of a kind not timed yet{there}"
        return f"time left: {'about' if at_a_time == 1 else 'at least'} {in_words(seconds)}"


def in_words(seconds: float) -> str:
    """Return a duration as `3.4 s`, `5 min` or `2.5 h`."""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    return f"{seconds / _MINUTE:.0f} min" if seconds < _HOUR else f"{seconds / _HOUR:.1f} h"


def _read(path: Path) -> dict[str, float]:
    """Return the contents of the file; empty if it cannot be used, for only estimates depend on it."""
    try:
        contents = read_yaml(path)
    except (OSError, InputError):
        return {}
    items = contents.items() if isinstance(contents, Mapping) else ()
    return {str(name): float(value) for name, value in items if isinstance(value, int | float)}
