"""Detectors as folders of safetensors and JSON, as Hugging Face keeps models."""

import importlib.util
import json
from pathlib import Path
from typing import Any

from attacks.errors import InputError
from detectors.base import Detector
from detectors.extras import needed
from saliency.checkpoints import FORMAT, build, describe, put_weights
from saliency.files import expanded, write_bytes, write_text

_WEIGHTS, _ABOUT = "model.safetensors", "config.json"


def save_pretrained(detector: Detector, folder: str | Path) -> None:
    """Write a detector's architecture to config.json and its weights, with the calibration, to model.safetensors.

    Args:
        detector: The detector.
        folder: It is made where it is missing.

    Raises:
        ValueError: If safetensors is not installed; says how to install it.
    """
    needed("safetensors", "export")
    from safetensors.torch import save  # noqa: PLC0415 - an extra

    weights = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in detector.state_dict().items()}
    write_bytes(Path(expanded(folder)) / _WEIGHTS, save(weights))
    about = {"format": FORMAT, "architecture": describe(detector)}
    write_text(Path(expanded(folder)) / _ABOUT, json.dumps(about, indent=1) + "\n")


def from_pretrained(source: str | Path) -> Detector:
    """Return the detector that `save_pretrained` wrote, in eval mode, on the CPU. No code of the folder is run.

    Args:
        source: The folder; or a name on the Hugging Face hub, OWNER/MODEL, which needs huggingface_hub.

    Raises:
        ValueError: If a package is missing, or the folder holds no detector of this project or a damaged one.
        FileNotFoundError: If the folder has no such files.
    """
    needed("safetensors", "export")
    from safetensors import SafetensorError  # noqa: PLC0415 - an extra
    from safetensors.torch import load  # noqa: PLC0415

    folder = _local(str(source))
    try:
        about: Any = json.loads((folder / _ABOUT).read_text())
        weights = load((folder / _WEIGHTS).read_bytes())
        architecture, written = about["architecture"], int(about["format"])
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        msg = f"{folder} is no detector that save_pretrained wrote, or is damaged ({error}): write it again"
        raise InputError(msg) from error
    if written > FORMAT:
        msg = f"{folder} has format {written}, this version reads up to {FORMAT}: upgrade the project"
        raise InputError(msg)
    detector = build(architecture, folder)
    if not isinstance(detector, Detector):
        msg = f"{folder} holds {type(detector).__name__}, but Detector is needed"
        raise InputError(msg)
    put_weights(detector, {"architecture": architecture, "state_dict": weights}, folder)
    return detector.eval()


def _local(source: str) -> Path:
    """Return the folder, downloaded if it is a name on the hub."""
    folder = Path(expanded(source))
    if folder.is_dir():
        return folder
    if importlib.util.find_spec("huggingface_hub") is None:
        msg = f"there is no folder {source}; for a name on the hub, run pip install huggingface_hub first"
        raise FileNotFoundError(msg)
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - a user's own package

    return Path(snapshot_download(source, allow_patterns=[_WEIGHTS, _ABOUT]))
