"""The subcommands of `evaluate.py`: a protocol each, imported when it is run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from experiments.results.result import Result

Needs = Literal["classifier", "maps", "detectors", "detectors of an epsilon", "detectors of one attack", "runs"]
"""What a run must have: finished stages (maps: of the saliency model), or runs beside it that repeat it."""


@dataclass(frozen=True)
class Protocol:
    """A subcommand of `evaluate.py`.

    Attributes:
        where: Module and name of the function, as "experiments.claims.protocol:pipelines".
        apart: Why `all` leaves it out; empty: it does not.
        of_detectors: Whether it takes `--detectors`: names of the run's and paths of others.
        needs: The parts of a run that it needs.
    """

    where: str
    help: str
    apart: str = ""
    of_detectors: bool = False
    needs: Needs = "classifier"

    @property
    def run(self) -> Callable[..., "Result"]:
        """The function, imported: it takes a study and its options by name.

        Its signature and docstring are those of the subcommand. It raises FileNotFoundError where a stage is missing.
        """
        function: Callable[..., Result] = resolve_name(self.where)
        return function


LONG: Final = "it takes long"

PROTOCOLS: Mapping[str, Protocol] = {
    "transfer": Protocol(
        "experiments.detection.transfer.protocol:transfer",
        "detectors x trained on x tested on",
        of_detectors=True,
        needs="detectors",
    ),
    "strength": Protocol("experiments.detection.strength.protocol:strength", "success and norms of each attack"),
    "shift": Protocol(
        "experiments.detection.shift.protocol:shift", "shift of maps under attack, and its causes", needs="maps"
    ),
    "threshold": Protocol(
        "experiments.detection.threshold.protocol:threshold",
        "detection against the size of the perturbation",
        of_detectors=True,
        needs="detectors of an epsilon",
    ),
    "corruptions": Protocol(
        "experiments.detection.corruptions.protocol:corruptions",
        "false positives on benign changes of the images",
        of_detectors=True,
        needs="detectors",
    ),
    "speed": Protocol(
        "experiments.detection.speed.protocol:speed",
        "latency, throughput, parameters and FLOPs",
        of_detectors=True,
        needs="detectors",
    ),
    "gallery": Protocol("experiments.detection.gallery.protocol:gallery", "images, attacks and maps", needs="maps"),
    "white-box": Protocol(
        "experiments.white_box.protocol:white_box",
        "attacks that know the detectors, before and after retraining",
        apart=LONG,
        of_detectors=True,
        needs="detectors of one attack",
    ),
    "benchmark": Protocol(
        "experiments.benchmark.protocol:benchmark",
        "all detectors, the published ones too, in one table",
        apart=LONG,
        of_detectors=True,
        needs="detectors",
    ),
    "museum": Protocol(
        "experiments.museum.protocol:museum",
        "published detectors under the attacks that broke them",
        apart=LONG,
        of_detectors=True,
    ),
    "enhance": Protocol(
        "experiments.explanation.enhance.protocol:enhance", "enhanced guided backpropagation (Gu & Tresp)", apart=LONG
    ),
    "similarity": Protocol(
        "experiments.explanation.similarity.protocol:similarity",
        "how alike maps stay under attack (Liu et al.)",
        apart=LONG,
    ),
    "recover": Protocol(
        "experiments.explanation.recover.protocol:recover",
        "do maps find a localized attack (Goepfert et al.)",
        apart=LONG,
    ),
    "pipelines": Protocol(
        "experiments.claims.protocol:pipelines",
        "what several whole pipelines say together",
        apart="it needs several runs",
        needs="runs",
    ),
}
"""In the order in which `all` runs them and the report shows them."""

ALL: Final = "all"

LIST: Final = "list"

COMMANDS: Final = (
    {LIST: "say what a run has, and what can be evaluated"}
    | {name: protocol.help for name, protocol in PROTOCOLS.items()}
    | {ALL: "every protocol for which the run has what it needs"}
)
"""A line about each."""
