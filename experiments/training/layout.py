"""The names of the files and folders in a run folder."""

from typing import Final

SETTINGS: Final = "pipeline.yaml"
"""The pipeline file of the run, with all defaults filled in."""

CONFIG: Final = "config.yaml"
"""The config of a fit, in its folder; the key of the same text in a checkpoint."""

LAST: Final = "last.ckpt"
"""The checkpoint of a fit's last epoch, in its folder."""

DONE: Final = "model.ckpt"
"""The finished model of a fit, in its folder."""

SALIENCY_PARTS: Final = ("encoder", "selector", "mask")
"""The parts of the saliency model, in the order in which they are trained."""

ALL_BUT: Final = "all-but-"
"""Before the name of an attack: a detector is trained on all the others of the run."""

SECOND: Final = "classifier/second"
"""Folder of the classifier of the same family and another seed."""


def classifier(seed: int) -> str:
    """Return the folder of the attacked classifier."""
    return f"classifier/seed_{seed}"


def saliency(part: str) -> str:
    """Return the folder of the encoder, the selector or the mask."""
    return f"saliency/{part}"


def detector(name: str, attack: str, seed: int) -> str:
    """Return the folder of a detector that was trained on an attack."""
    return f"detectors/{name}/{attack}/seed_{seed}"


def retrained(name: str, seed: int) -> str:
    """Return the folder of a detector that was retrained against an attack that sees it."""
    return f"retrained/{name}/seed_{seed}"
