"""The names of the files and folders in a run folder."""

from collections.abc import Mapping
from itertools import product
from typing import Any, Final

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

CLASSIFIER: Final = "classifier/seed_{seed}"
SECOND: Final = "classifier/second"
SALIENCY: Final = "saliency/{part}"
DETECTOR: Final = "detectors/{name}/{attack}/seed_{seed}"
RETRAINED: Final = "retrained/{name}/seed_{seed}"
"""Folders of the stages. The second classifier has the same family and another seed."""


def stage_folders(sections: Mapping[str, Any]) -> list[str]:
    """Return the folders of a run's stages, in the order in which they run.

    Args:
        sections: Its settings with all defaults filled in, as plain nested dicts.
    """
    seeds, detectors = sections["seeds"], sections["detectors"] or {}
    retrain, train_on = sections.get("retrain"), sections["train_on"] or sections["attacks"]
    retrained = (retrain["detectors"] or detectors) if retrain else ()
    return [
        CLASSIFIER.format(seed=seeds[0]),
        *(SALIENCY.format(part=part) for part in SALIENCY_PARTS if sections["saliency"]),
        *(DETECTOR.format(name=name, attack=a, seed=seed) for name, a, seed in product(detectors, train_on, seeds)),
        SECOND,
        *(RETRAINED.format(name=name, seed=seed) for name, seed in product(retrained, seeds)),
    ]
