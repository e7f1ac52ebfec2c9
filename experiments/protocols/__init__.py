"""The protocols of `evaluate.py`, each a module with a function from a study to a result."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.protocols.transfer import transfer
from experiments.results import Result
from experiments.study import Study


@dataclass(frozen=True)
class Option:
    """An option of a protocol on the command line.

    Attributes:
        kind: Its type, as jsonargparse takes it.
        default: Its value when it is not given.
        help: Some words.
    """

    kind: Any
    default: Any
    help: str


@dataclass(frozen=True)
class Protocol:
    """A subcommand of `evaluate.py`.

    Attributes:
        run: Takes the study, whose `options` hold the values; raises FileNotFoundError where a stage is missing.
        help: A line.
        options: By name.
    """

    run: Callable[[Study], Result]
    help: str
    options: Mapping[str, Option] = field(default_factory=dict)


RESAMPLES = Option(int, 1000, "Bootstrap resamples of the intervals.")

PROTOCOLS: Mapping[str, Protocol] = {
    "transfer": Protocol(transfer, "detectors x trained on x tested on", {"resamples": RESAMPLES}),
}
"""In the order in which `all` runs them and the report shows them."""
