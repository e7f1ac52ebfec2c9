"""`evaluate.py export`: a detector as one file that runs without this project."""

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

import torch
from rich.console import Console
from torch import Tensor
from torch.export import ExportedProgram

from attacks.checks import one_of
from attacks.errors import OutputError
from detectors import Detector, Thresholded
from detectors.extras import needed
from experiments.guard.detector import detector_of, parser_of
from experiments.guard.graph import OUTPUTS, Graph, exported, largest_differences, unexportable
from experiments.parser import Parser
from saliency.files import expanded, replacing, write_bytes, write_text

Format = Literal["onnx", "torch"]

ENDINGS: Final[dict[Format, str]] = {"onnx": ".onnx", "torch": ".pt2"}

_PACKAGES: Final[dict[Format, tuple[str, ...]]] = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torch": ()}
"""Packages of the extra that a format needs."""

_TOLERANCE: Final = 1e-3
"""Largest difference of an export. Rounding alone reaches 1.9e-4, where a map divides two small numbers."""


def run_export(arguments: list[str]) -> None:
    """Export a detector by the arguments of `evaluate.py export`.

    Raises:
        UsageError: If they are not accepted.
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If it holds no detector, has too few calibration images for the rate, or cannot be exported.
    """
    options = _parser().parse_args(arguments)
    target = Path(options.output or Path(options.detector).with_suffix(ENDINGS[options.format]))
    card = export_detector(detector_of(options), options.format, target, options.fpr, options.detector)
    off = max(card["largest_difference"].values())
    says = f"{target} and {target}.json: equal to the detector up to {off:.1e} on noise, for any number of images"
    Console().print(says, highlight=False, markup=False, soft_wrap=True)


def _parser() -> Parser:
    about = "Write classifier, detector and threshold as one graph, for any number of images, and a card beside it."
    example = "--detector runs/digits/detectors/smd/fgsm/seed_0/model.ckpt --format onnx --output smd.onnx"
    parser = parser_of("export", about, example)
    parser.add_argument(
        "--format", type=Format, default="onnx", help="onnx: for onnxruntime and others; torch: for torch.export.load."
    )
    parser.add_argument(
        "--output", type=str, default="", help="The file; by default beside the checkpoint. Its card is FILE.json."
    )
    return parser


def export_detector(
    detector: Detector, kind: Format, target: Path, false_positive_rate: float = 0.05, checkpoint: str = ""
) -> dict[str, Any]:
    """Write a detector as one graph, and its card beside it; return the card.

    The graph takes `images`, float32 (N, C, H, W) in [0, 1], and gives score, probability, is_adversarial (N,) and
    logits (N, K).

    Args:
        detector: A calibrated detector.
        kind: onnx or torch.
        target: The file.
        false_positive_rate: Sets the threshold.
        checkpoint: Named in the card, with its digest.

    Raises:
        ValueError: If the detector cannot be exported, has too few calibration images for the rate, or a package is
            missing that the format needs; says how to install it.
        OutputError: If the export gives other scores than the detector.
    """
    one_of(get_args(Format), kind=kind)
    for package in _PACKAGES[kind]:
        needed(package, "export")
    threshold = Thresholded.at_rate(detector, detector.calibration, false_positive_rate).threshold
    graph = Graph(detector.cpu(), threshold)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about itself
        packed = _FORMATS[kind](graph, exported(graph))
    differences = largest_differences(graph, packed.run)
    if max(differences.values()) > _TOLERANCE:
        msg = f"the export differs from the detector by {max(differences.values()):.2g}: it was not written"
        raise OutputError(msg)
    target = Path(expanded(target))
    card = _card(graph, kind, false_positive_rate, checkpoint) | {"largest_difference": differences}
    packed.write(target)
    write_text(target.with_name(f"{target.name}.json"), json.dumps(card, indent=1) + "\n")
    return card


class _Packed(NamedTuple):
    """A graph in a format: how it is written, and how it runs."""

    write: Callable[[Path], None]
    run: Callable[[Tensor], Sequence[Tensor]]


def _of_torch(_: Graph, program: ExportedProgram) -> _Packed:
    def write(target: Path) -> None:
        with replacing(target) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.export.save(program, file)

    return _Packed(write, program.module())


def _of_onnx(graph: Graph, program: ExportedProgram) -> _Packed:
    import onnxruntime  # noqa: PLC0415 - an extra

    try:
        model = torch.onnx.export(program, dynamo=True, output_names=OUTPUTS, verbose=False)
    except Exception as error:  # what ONNX lacks fails in arbitrary ways
        raise unexportable(graph, "torch.onnx", error) from error
    contents = model.model_proto.SerializeToString()  # type: ignore[union-attr]
    session = onnxruntime.InferenceSession(contents, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> list[Tensor]:
        return [torch.from_numpy(values) for values in session.run(list(OUTPUTS), {"images": images.numpy()})]

    return _Packed(lambda target: write_bytes(target, contents), run)


_FORMATS: Final[dict[Format, Callable[[Graph, ExportedProgram], _Packed]]] = {"onnx": _of_onnx, "torch": _of_torch}


def _card(graph: Graph, kind: Format, rate: float, checkpoint: str) -> dict[str, Any]:
    """Return the card: all that a user of the file alone needs."""
    detector, path = graph.detector, Path(expanded(checkpoint))
    return {
        "detector": type(detector).__name__,
        "format": kind,
        "checkpoint": checkpoint and path.name,
        "checkpoint_sha256": hashlib.sha256(path.read_bytes()).hexdigest() if checkpoint else "",
        "input": {"images": f"float32 (N, {', '.join(map(str, detector.shape))}) in [0, 1]"},
        "outputs": {
            "score": "float32 (N,), higher = more adversarial",
            "probability": "float32 (N,), of being adversarial where half of the images are",
            "is_adversarial": "bool (N,), score > threshold",
            "logits": f"float32 (N, {detector.classes}), of the classifier",
        },
        "threshold": graph.threshold,
        "false_positive_rate": rate,
        "calibration_images": len(detector.calibration),
        "limits": "The threshold holds for clean images like those of the calibration. Attackers who know the detector "
        "may pass it: `evaluate.py white-box` measures that.",
        "versions": {name: version(name) for name in dict.fromkeys(("torch", kind))},
    }
