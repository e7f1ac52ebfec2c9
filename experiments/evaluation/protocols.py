"""The subcommands of `evaluate.py`: a protocol each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from experiments.claims.protocol import pipelines
from experiments.detection.gallery import gallery
from experiments.detection.shift import shift
from experiments.detection.speed import speed
from experiments.detection.strength.protocol import strength
from experiments.detection.threshold.protocol import EPSILONS, threshold
from experiments.detection.transfer.protocol import transfer
from experiments.explanation.enhance.protocol import enhance
from experiments.explanation.recover.protocol import recover
from experiments.explanation.similarity.protocol import similarity
from experiments.results.result import Result
from experiments.white_box.protocol import white_box
from saliency import SaliencyMethod
from saliency.checkpoints import Portable


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
        run: Takes a study and its options by name; its signature and docstring are those of the subcommand. Raises
            FileNotFoundError where a stage is missing.
        help: A line.
        options: By name; None: those of the signature.
        apart: Why `all` leaves it out; empty: it does not.
    """

    run: Callable[..., Result]
    help: str
    options: Mapping[str, Option] | None = None
    apart: str = ""


LONG: Final = "it takes long"

RESAMPLES = Option(int, 1000, "Bootstrap resamples of the intervals.")
PAIRS = Option(int | None, None, "At most so many pairs per sample; null: all test images.")

EXPLAINED: Mapping[str, Option] = {
    "images": Option(int, 200, "At most so many images."),
    "methods": Option(
        dict[str, SaliencyMethod] | None, None, "Saliency methods by name, as classes with their arguments; null: all."
    ),
    "classifier": Option(
        str | Portable | None, None, "A classifier of your own: class path, .ckpt, or class with arguments."
    ),
    "photographs": Option(str | None, None, "A folder of images of any kind in place of the test images."),
    "size": Option(
        int | None,
        None,
        "Side in pixels that images are brought to before they are attacked and explained; null: as they are, "
        "photographs 224.",
    ),
    "resamples": RESAMPLES,
}
"""Options of the protocols about saliency methods."""

ABOUT_MAPS: Final = ("enhance", "similarity", "recover")
"""Protocols of the papers about saliency methods, which need no detector and decide none of the main paper's claims."""

PROTOCOLS: Mapping[str, Protocol] = {
    "transfer": Protocol(transfer, "detectors x trained on x tested on"),
    "strength": Protocol(strength, "success and norms of each attack", {}),
    "shift": Protocol(shift, "shift of maps under attack, and its causes", {"pairs": PAIRS, "resamples": RESAMPLES}),
    "threshold": Protocol(
        threshold,
        "detection against the size of the perturbation",
        {"epsilons": Option(list[float], list(EPSILONS), "L-inf budgets in [0, 1].")},
    ),
    "speed": Protocol(
        speed,
        "latency, throughput, parameters and FLOPs",
        {"repeats": Option(int, 30, "How often each time is taken.")},
    ),
    "gallery": Protocol(
        gallery,
        "images, attacks and maps",
        {"images": Option(int, 6, "Test images shown."), "pairs": PAIRS, "resamples": RESAMPLES},
    ),
    "white-box": Protocol(white_box, "attacks that know the detectors, before and after retraining", apart=LONG),
    "enhance": Protocol(enhance, "enhanced guided backpropagation (Gu & Tresp)", apart=LONG),
    "similarity": Protocol(similarity, "how alike maps stay under attack (Liu et al.)", apart=LONG),
    "recover": Protocol(recover, "do maps find a localized attack (Goepfert et al.)", apart=LONG),
    "pipelines": Protocol(pipelines, "what several whole pipelines say together", apart="needs several runs"),
}
"""In the order in which `all` runs them and the report shows them."""
