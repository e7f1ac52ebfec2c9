"""The detector of a command: its options, and the detector that they name."""

from jsonargparse import Namespace

from detectors import Detector, load
from experiments.parser import Parser
from experiments.study.batches import usable_device
from experiments.training.sections import import_modules


def parser_of(name: str, about: str, example: str) -> Parser:
    """Return the parser of a command that takes a detector's checkpoint."""
    parser = Parser(prog=f"evaluate.py {name}", description=f"{about} Example: python evaluate.py {name} {example}")
    parser.add_argument(
        "--detector",
        type=str,
        required=True,
        help="The detector's checkpoint, for example runs/digits/detectors/spd/fgsm/seed_0/model.ckpt.",
    )
    parser.add_argument(
        "--fpr",
        type=float,
        default=0.05,
        help="False-positive rate, in (0, 1): the share of clean images that the detector may flag. It sets the "
        "threshold, from the scores of the clean calibration images.",
    )
    parser.add_argument(
        "--imports", type=list[str], default=[], help="Your own modules to import first: they define its classes."
    )
    return parser


def detector_of(options: Namespace, device: str = "cpu") -> Detector:
    """Return the detector that the options name, in eval mode on a device (`auto`: a GPU if there is one).

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it holds no detector, or the device cannot be used.
    """
    import_modules(options.imports)
    return load(options.detector, Detector).to(usable_device(device))
