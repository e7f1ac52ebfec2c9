"""Which data and which files of weights a run was made with: others would leak between splits, or mix two networks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from data import ImageData
from data.store.identity import of_file, of_tensor
from experiments.training.stages import Stage
from saliency.files import read_yaml, write_text

DATA_RECORD: Final = "data.yaml"

_SPLITS: Final = ("classifier_train", "detector_train", "calibration", "test")


def keep_record(folder: Path, data: ImageData) -> None:
    """Write which data a run is made with, or compare them with those that it was made with.

    Args:
        folder: Of the run.
        data: Set up.

    Raises:
        ValueError: If the run was made with others; says what differs.
    """
    if not check_record(folder, data):
        write_text(folder / DATA_RECORD, yaml.safe_dump(_record(data), sort_keys=False))


def check_record(folder: Path, data: ImageData) -> bool:
    """Compare the data with those that a run was made with; tell whether there is a record of them.

    Args:
        folder: Of the run.
        data: Set up.

    Raises:
        ValueError: If the run was made with others; says what differs.
    """
    path = folder / DATA_RECORD
    if not path.is_file():
        return False
    kept, now = read_yaml(path), _record(data)
    if kept != now:
        was, found = (each.get("images") if isinstance(each, dict) else None for each in (kept, now))
        msg = (
            f"{folder} was made with other data ({was}, now {found}): images of one split would be in another; give "
            f"the data that it was made with, or another --run (delete {path} to go on all the same)"
        )
        raise ValueError(msg)
    return True


def _record(data: ImageData) -> dict[str, Any]:
    splits = {name: data.split(name).positions for name in _SPLITS}
    return {
        "images": {name: len(positions) for name, positions in splits.items()},
        "fingerprint": data.fingerprint(),
        "positions": {name: of_tensor(positions) for name, positions in splits.items()},
    }


WEIGHTS_RECORD: Final = "weights.yaml"


def keep_weights(stage: Stage) -> None:
    """Write which files of weights the model of a finished stage was built from, if there are any."""
    digests = {path: of_file(Path(path)) for path in _files(stage.config["model"])}
    if digests:
        write_text(stage.folder / WEIGHTS_RECORD, yaml.safe_dump(digests))


def check_weights(stage: Stage) -> None:
    """Compare files of weights with those that a finished stage was made with; those that are gone are passed over.

    Raises:
        ValueError: If one has changed.
    """
    path = stage.folder / WEIGHTS_RECORD
    if not path.is_file():
        return
    for name, known in read_yaml(path).items():
        if Path(name).is_file() and of_file(Path(name)) != known:
            msg = (
                f"{stage.folder} was made with other weights ({name} has changed since): choose another --run, or "
                "delete that folder and those of the stages after it"
            )
            raise ValueError(msg)


def _files(section: Any, key: str = "") -> Iterator[str]:
    """Give the files that a section names under the key weights, at any depth."""
    if isinstance(section, dict):
        for name, value in section.items():
            yield from _files(value, name)
    elif isinstance(section, list):
        for value in section:
            yield from _files(value)
    elif key == "weights" and isinstance(section, str) and Path(section).is_file():
        yield section
