"""The subcommands of `evaluate.py`: a protocol each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from experiments.claims.protocol import pipelines
from experiments.detection.corruptions.protocol import corruptions
from experiments.detection.gallery.protocol import gallery
from experiments.detection.shift.protocol import shift
from experiments.detection.speed.protocol import speed
from experiments.detection.strength.protocol import strength
from experiments.detection.threshold.protocol import threshold
from experiments.detection.transfer.protocol import transfer
from experiments.explanation.enhance.protocol import enhance
from experiments.explanation.recover.protocol import recover
from experiments.explanation.similarity.protocol import similarity
from experiments.results.result import Result
from experiments.white_box.protocol import white_box


@dataclass(frozen=True)
class Protocol:
    """A subcommand of `evaluate.py`.

    Attributes:
        run: Takes a study and its options by name; its signature and docstring are those of the subcommand. Raises
            FileNotFoundError where a stage is missing.
        help: A line.
        apart: Why `all` leaves it out; empty: it does not.
        of_detectors: Whether it takes `--detectors`: names of the run's and paths of others.
    """

    run: Callable[..., Result]
    help: str
    apart: str = ""
    of_detectors: bool = False


LONG: Final = "it takes long"

PROTOCOLS: Mapping[str, Protocol] = {
    "transfer": Protocol(transfer, "detectors x trained on x tested on", of_detectors=True),
    "strength": Protocol(strength, "success and norms of each attack"),
    "shift": Protocol(shift, "shift of maps under attack, and its causes"),
    "threshold": Protocol(threshold, "detection against the size of the perturbation", of_detectors=True),
    "corruptions": Protocol(corruptions, "false positives on benign changes of the images", of_detectors=True),
    "speed": Protocol(speed, "latency, throughput, parameters and FLOPs", of_detectors=True),
    "gallery": Protocol(gallery, "images, attacks and maps"),
    "white-box": Protocol(
        white_box, "attacks that know the detectors, before and after retraining", apart=LONG, of_detectors=True
    ),
    "enhance": Protocol(enhance, "enhanced guided backpropagation (Gu & Tresp)", apart=LONG),
    "similarity": Protocol(similarity, "how alike maps stay under attack (Liu et al.)", apart=LONG),
    "recover": Protocol(recover, "do maps find a localized attack (Goepfert et al.)", apart=LONG),
    "pipelines": Protocol(pipelines, "what several whole pipelines say together", apart="it needs several runs"),
}
"""In the order in which `all` runs them and the report shows them."""
