"""The subcommands of `evaluate.py`: a protocol each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.protocols.gallery import gallery
from experiments.protocols.shift import shift
from experiments.protocols.speed import speed
from experiments.protocols.strength import strength
from experiments.protocols.threshold import EPSILONS, threshold
from experiments.protocols.transfer import transfer
from experiments.protocols.white_box import white_box
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
        costly: Whether `all` leaves it out.
    """

    run: Callable[[Study], Result]
    help: str
    options: Mapping[str, Option] = field(default_factory=dict)
    costly: bool = False


RESAMPLES = Option(int, 1000, "Bootstrap resamples of the intervals.")
PAIRS = Option(int | None, None, "At most so many pairs per sample; null: all test images.")

PROTOCOLS: Mapping[str, Protocol] = {
    "transfer": Protocol(transfer, "detectors x trained on x tested on", {"resamples": RESAMPLES}),
    "strength": Protocol(strength, "success and norms of each attack"),
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
    "white-box": Protocol(
        white_box,
        "attacks that know the detectors, before and after retraining",
        {
            "images": Option(int, 200, "Test images attacked."),
            "steps": Option(int, 100, "Steps of each walk."),
            "restarts": Option(int, 1, "Walks from the image (first) and from random points, for all but the paper's."),
            "epsilon": Option(float | None, None, "L-inf budget; null: that of the attack trained on."),
            "trained_on": Option(
                str | None,
                None,
                "Attack that the detectors were trained on; null: where retraining starts, else the first.",
            ),
            "detectors": Option(
                list[str] | None, None, "Names of the detectors attacked; null: all, training-free too."
            ),
            "seeds": Option(list[int] | None, None, "Seeds of the detectors attacked; null: all of the run."),
            "suite_seeds": Option(
                int | None, None, "How many of them meet the whole suite, the others the paper's only."
            ),
            "curve_images": Option(int, 50, "Images of the curves and of the price of detection; 0: neither."),
            "detector": Option(str | None, None, "A detector of your own: class path or .ckpt, in place of the run's."),
            "classifier": Option(str | None, None, "With it a classifier of your own; null: the run's."),
            "resamples": RESAMPLES,
        },
        costly=True,
    ),
}
"""In the order in which `all` runs them and the report shows them."""
